//! What the examples share: when they call, and how they say what came of it.

use std::fmt::Display;

use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Makes a call for each line on standard input, one after the other, and prints the answer or the error.
pub(crate) async fn for_each_line<T: Display, E: Display>(
    mut call: impl AsyncFnMut() -> Result<T, E>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        match call().await {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("failed: {error}"),
        }
    }
    Ok(())
}
