//! What the lab tells its servers and pods while they run: a line of JSON an order, on their standard input.

use std::marker::PhantomData;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

/// The orders a process is given.
#[derive(Debug)]
pub struct Orders<T> {
    lines: Lines<BufReader<Stdin>>,
    kind: PhantomData<T>,
}

impl<T: DeserializeOwned> Orders<T> {
    /// Those on this process's standard input.
    #[must_use]
    pub fn of_stdin() -> Self {
        Self {
            lines: BufReader::new(tokio::io::stdin()).lines(),
            kind: PhantomData,
        }
    }

    /// The next one; `None` when there will be none.
    ///
    /// # Errors
    /// When it is told something that is no order.
    ///
    /// # Cancel safety
    /// No order is lost.
    pub async fn next(&mut self) -> anyhow::Result<Option<T>> {
        self.lines.next_line().await?.map(|line| read(&line)).transpose()
    }
}

fn read<T: DeserializeOwned>(line: &str) -> anyhow::Result<T> {
    serde_json::from_str(line).with_context(|| format!("told {line:?}, which is no order"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use serde::Serialize;

    use super::*;
    use crate::{api, dns, pod};

    fn comes_back<T: Serialize + DeserializeOwned + Debug + PartialEq>(order: T) {
        let line = serde_json::to_string(&order).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(read::<T>(&line).unwrap(), order);
    }

    #[test]
    fn orders_are_read_as_they_were_given() {
        let pod = Ipv4Addr::new(198, 18, 1, 1);
        comes_back(api::Order::Ready(pod));
        comes_back(api::Order::Terminating(pod));
        comes_back(dns::Order::Name(pod));
        comes_back(dns::Order::Forget(pod));
        comes_back(pod::Order::Think(Duration::from_millis(500)));
        comes_back(pod::Order::Accept(false));
    }

    #[test]
    fn what_is_no_order_is_quoted() {
        for line in ["", "{\"Think\":\"soon\"}", "{\"Die\":1}"] {
            let error = read::<pod::Order>(line).unwrap_err().to_string();
            assert_eq!(error, format!("told {line:?}, which is no order"));
        }
    }
}
