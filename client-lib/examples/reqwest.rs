//! reqwest, whose sockets are its own: the process's guard ends them when their peer dies, and its resolver names the living.
//!
//! `cargo run -p obit --features reqwest --example reqwest -- http://shop.default:8080/`, then a line for each call.

mod calls;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("which server? http://HOST:PORT/PATH")?;
    let url: reqwest::Url = url.parse()?;
    let port = url.port_or_known_default();
    // Was: reqwest::Client::new()
    let guard = obit::guard_process()?;
    let client = reqwest::Client::builder().dns_resolver(guard.resolver(port)).build()?;
    calls::for_each_line(async || {
        let answer = client.get(url.clone()).send().await?;
        let status = answer.status();
        let length = answer.bytes().await?.len();
        Ok::<_, reqwest::Error>(format!("{status}, {length} bytes"))
    })
    .await?;
    Ok(())
}
