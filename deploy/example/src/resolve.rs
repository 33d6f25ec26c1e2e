//! What DNS says of a service now: to be compared with what callers do.

use anyhow::Context as _;

/// What is looked up.
#[derive(Debug, Clone, clap::Args)]
pub struct ResolveArgs {
    /// The service
    #[arg(long, value_name = "NAME")]
    service: String,
    /// The service's namespace
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
}

/// Prints each address that the system's resolver has for a service, one a line.
///
/// # Errors
/// When it has none.
pub async fn resolve(args: &ResolveArgs) -> anyhow::Result<()> {
    // With the dot at its end: the search list of the pod's resolv.conf is not tried.
    let name = format!("{}.{}.svc.cluster.local.", args.service, args.namespace);
    let found = tokio::net::lookup_host((name.as_str(), 0)).await;
    let mut addresses: Vec<_> = found.with_context(|| format!("{name} is not resolved"))?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        println!("{}", address.ip());
    }
    Ok(())
}
