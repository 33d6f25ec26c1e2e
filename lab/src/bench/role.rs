//! The bench's own processes: this binary again, each with one role inside a namespace. None outlives the bench.

use super::{client, monitor};

/// What every role is told.
#[derive(Debug, Clone, clap::Args)]
pub struct RoleArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    parent: u32,
    /// Which role.
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Role {
    #[command(flatten)]
    Monitor(monitor::Role),
    #[command(flatten)]
    Client(client::Role),
}

/// Plays a role until its standard input ends or it is killed.
///
/// # Errors
/// When something is not as the role claims it: a connection that fails, a monitor that hangs up.
pub fn run(args: &RoleArgs) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    match &args.role {
        Role::Monitor(role) => role.play(),
        Role::Client(role) => role.play(),
    }
}
