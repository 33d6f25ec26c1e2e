//! The kernel's type information, as the monitor reads it.

mod write;

use obit_monitor::kernel::{BtfError, Offsets};

use self::write::{Types, kind};
use crate::memory::peak_of;

/// The most memory reading takes for each byte: a type is 12 bytes or more, and its entry, in a list that doubles where it
/// grows and holds the old one until then, 32 times three.
const MEMORY_PER_BYTE: usize = 8;

/// Room for the smallest of lists, and for the answer.
const MEMORY_BESIDE: usize = 8 * 1024;

/// The structures whose members the programs read.
const ROOTS: [&str; 13] = [
    "sock",
    "tcp_sock",
    "net",
    "user_namespace",
    "sk_buff",
    "sock_exterr_skb",
    "cgroup",
    "kernfs_node",
    "task_struct",
    "files_struct",
    "fdtable",
    "file",
    "socket",
];

/// What must hold for any bytes taken for type information: reading them ends, takes little memory, always says the same,
/// explains itself, and does not depend on what lies behind them.
///
/// # Panics
/// When it does not hold.
pub fn check(input: &[u8]) {
    let (answer, peak) = peak_of(|| Offsets::from_btf(input));
    assert!(
        peak <= MEMORY_PER_BYTE * input.len() + MEMORY_BESIDE,
        "{peak} bytes of memory for {} bytes of type information",
        input.len()
    );
    let more = Offsets::from_btf(&[input, &[0xff; 16]].concat());
    match answer {
        Ok(offsets) => assert_eq!(more.as_ref(), Ok(&offsets)),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // What was too short may be something else when it is longer.
            let whole = !matches!(
                error,
                BtfError::Empty | BtfError::Short { .. } | BtfError::Section { .. }
            );
            assert!(!whole || more == Err(error), "{more:?} instead of {error:?}");
        }
    }
}

/// Inputs to begin with: everything the programs read, each kind of type, and what a reader may fall into.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let kernel = kernel();
    let mut other_order = kernel[..24].to_vec();
    other_order[..2].reverse();
    let mut other_version = kernel[..24].to_vec();
    other_version[2] = 2;
    vec![
        kernel[..kernel.len() - 1].to_vec(),
        kernel,
        other_order,
        other_version,
        every_kind(),
        endless_typedef(),
        endless_structure(),
        bit_field(),
    ]
}

/// Every member the programs read, in each structure they read from; every other one in an anonymous union.
fn kernel() -> Vec<u8> {
    let nothing = Types::default().finish();
    let mut paths = Offsets::from_btf(&nothing).map_or_else(|_| Vec::new(), |none| none.missing_paths());
    paths.push("ee.ee_errno");
    let mut types = Types::default();
    let int = types.int("int");
    let members = members_of(&mut types, &paths, int);
    for root in ROOTS {
        types.composite(kind::STRUCT, root, &members);
    }
    types.finish()
}

fn members_of(types: &mut Types, paths: &[&'static str], leaf: u32) -> Vec<(&'static str, u32, u32)> {
    let mut firsts: Vec<_> = paths.iter().filter_map(|path| path.split('.').next()).collect();
    firsts.sort_unstable();
    firsts.dedup();
    let mut members = Vec::new();
    for (name, place) in firsts.into_iter().zip((0_u32..).step_by(32)) {
        let below = |path: &&'static str| path.strip_prefix(name)?.strip_prefix('.');
        let below: Vec<_> = paths.iter().filter_map(below).collect();
        let mut of_type = leaf;
        if !below.is_empty() {
            let inside = members_of(types, &below, leaf);
            let structure = types.composite(kind::STRUCT, "", &inside);
            let constant = types.refer(kind::CONST, "", structure);
            of_type = types.refer(kind::TYPEDEF, "t", constant);
        }
        if place % 64 == 0 {
            members.push((name, of_type, place));
        } else {
            let anonymous = types.composite(kind::UNION, "", &[(name, of_type, 0)]);
            members.push(("", anonymous, place));
        }
    }
    members
}

fn every_kind() -> Vec<u8> {
    let mut types = Types::default();
    let int = types.int("sock");
    for kind in kind::REFERRING {
        types.refer(kind, "sock", int);
    }
    types.composite(kind::UNION, "sock", &[("sk_err", int, 0)]);
    for (kind, rest) in kind::OTHERS {
        types.other(kind, 2, rest * 2);
    }
    types.composite(kind::STRUCT, "sock", &[("sk_err", int, 64)]);
    types.finish()
}

fn endless_typedef() -> Vec<u8> {
    let mut types = Types::default();
    let itself = types.refer(kind::TYPEDEF, "t", 1);
    types.composite(kind::STRUCT, "sock", &[("__sk_common", itself, 0)]);
    types.finish()
}

fn endless_structure() -> Vec<u8> {
    let mut types = Types::default();
    types.composite(kind::STRUCT, "sock", &[("", 1, 0), ("", 1, 0)]);
    types.finish()
}

fn bit_field() -> Vec<u8> {
    let mut types = Types::default();
    let int = types.int("int");
    types.composite_of_bit_fields("sock", &[("sk_err", int, (3 << 24) | 5), ("sk_err_soft", int, 8)]);
    types.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inputs_to_begin_with_reach_every_member_and_every_error_that_is_about_types() {
        assert_eq!(Offsets::from_btf(&kernel()).unwrap().missing_paths(), [""; 0]);
        assert!(Offsets::from_btf(&every_kind()).is_ok());
        for endless in [endless_typedef(), endless_structure()] {
            assert_eq!(Offsets::from_btf(&endless), Err(BtfError::Endless { root: "sock" }));
        }
        let missing = Offsets::from_btf(&bit_field()).unwrap().missing_paths();
        assert!(missing.contains(&"sk_err") && !missing.contains(&"sk_err_soft"));
    }
}
