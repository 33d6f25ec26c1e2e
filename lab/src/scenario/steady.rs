//! Nothing happens: what a client's other runs are compared with.

use super::Scenario;

/// Five pods live through the whole run.
pub const STEADY: Scenario = Scenario {
    name: "steady",
    summary: "nothing happens",
    steps: &[],
};
