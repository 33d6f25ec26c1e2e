//! Against the types of real kernels, trimmed (see `tests/fixtures/btf`): whole, cut off, and corrupted.

use super::super::offsets::Offsets;
use super::*;

/// The types of a kernel.
macro_rules! fixture {
    ($version:literal) => {
        (
            $version,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/fixtures/btf/",
                $version,
                ".btf"
            )),
        )
    };
}

/// Oldest first.
const KERNELS: [(&str, &[u8]); 4] = [fixture!("5.10"), fixture!("6.1"), fixture!("6.12"), fixture!("6.18")];

/// A prime, so that strides through bytes meet each place in a word.
const STRIDE: usize = 61;

fn offset(bytes: &[u8], path: &str) -> Option<u32> {
    let offsets = Offsets::from_btf(bytes).unwrap();
    let found = offsets.members().find(|(member, ..)| member == path);
    found.unwrap_or_else(|| panic!("the programs read no {path}")).1
}

#[test]
fn every_member_is_found_on_every_kernel_that_is_supported() {
    for (version, bytes) in &KERNELS[1..] {
        let offsets = Offsets::from_btf(bytes).unwrap();
        assert_eq!(offsets.missing_paths(), [""; 0], "on {version}");
        assert_eq!(offsets.lacks(), [], "on {version}");
    }
}

#[test]
fn what_an_old_kernel_lacks_is_named() {
    let offsets = Offsets::from_btf(KERNELS[0].1).unwrap();
    // There `sk_cgrp_data` is a number, and Debian's kernel has no multipath: details. What that kernel lacks for the rest are
    // hooks and helpers, which no type tells.
    assert_eq!(offsets.missing_paths(), ["sk_cgrp_data.cgroup", "is_mptcp"]);
    assert_eq!(offsets.lacks(), []);
}

#[test]
fn members_lie_where_each_kernels_programs_were_seen_to_read_them() {
    let errors = KERNELS.map(|(_, bytes)| offset(bytes, "sock.sk_err"));
    assert_eq!(errors, [568, 544, 284, 284].map(Some));
    let soft = KERNELS.map(|(_, bytes)| offset(bytes, "sock.sk_err_soft"));
    assert_eq!(soft, [572, 548, 600, 372].map(Some));
    // The first members have not moved in years, and lie in unions without a name.
    let peers = KERNELS.map(|(_, bytes)| offset(bytes, "sock.__sk_common.skc_daddr"));
    assert_eq!(peers, [Some(0); 4]);
}

#[test]
fn type_information_cut_off_anywhere_is_an_error_that_says_so() {
    for (version, bytes) in KERNELS {
        for length in 0..bytes.len() {
            let error = Offsets::from_btf(&bytes[..length]).expect_err("it is cut off");
            let right = match length {
                0 => matches!(error, BtfError::Empty),
                1..HEADER_BYTES => matches!(error, BtfError::Short { bytes } if bytes == length),
                _ => matches!(error, BtfError::Section { bytes, .. } if bytes == length),
            };
            assert!(right, "{length} bytes of {version}: {error}");
        }
    }
}

/// With a header that does not give it away, as of a file that was written in part.
#[test]
fn types_that_end_within_a_type_are_an_error_that_names_it() {
    const TYPES_LENGTH: usize = 12;
    for (version, bytes) in KERNELS {
        let whole = Btf::parse(bytes).unwrap().types.len();
        let [length] = words(&bytes[TYPES_LENGTH..]).unwrap();
        let mut between = 0;
        for cut in (0..length).step_by(STRIDE) {
            let mut bytes = bytes.to_vec();
            bytes[TYPES_LENGTH..TYPES_LENGTH + 4].copy_from_slice(&cut.to_ne_bytes());
            match Btf::parse(&bytes) {
                Ok(types) => {
                    between += 1;
                    assert!(types.types.len() < whole);
                }
                Err(BtfError::TypeCutOff { id }) => assert!(usize::try_from(id).unwrap() <= whole),
                Err(error) => panic!("{cut} bytes of types of {version}: {error}"),
            }
        }
        assert!(between > 0, "no cut met the end of a type of {version}");
    }
}

#[test]
fn whatever_byte_is_flipped_reading_ends_with_offsets_or_with_an_error_in_words() {
    for (_, bytes) in KERNELS {
        let mut bytes = bytes.to_vec();
        for at in (0..HEADER_BYTES).chain((HEADER_BYTES..bytes.len()).step_by(STRIDE)) {
            for bits in [0x01, 0x80, 0xff] {
                bytes[at] ^= bits;
                if let Err(error) = Offsets::from_btf(&bytes) {
                    assert!(error.to_string().len() > 10, "{error:?}");
                }
                bytes[at] ^= bits;
            }
        }
    }
}

#[test]
fn corruption_of_the_header_is_named() {
    let bytes = KERNELS[3].1;
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        Offsets::from_btf(&bytes).unwrap_err()
    };
    assert_eq!(with(1, 0), BtfError::NotBtf { magic: 0x009f });
    assert_eq!(with(2, 9), BtfError::Version { version: 9 });
    assert!(matches!(with(15, 0x7f), BtfError::Section { section: "types", .. }));
    assert!(matches!(with(23, 0x7f), BtfError::Section { section: "names", .. }));
    let mut swapped = bytes.to_vec();
    swapped.swap(0, 1);
    assert_eq!(Offsets::from_btf(&swapped).unwrap_err(), BtfError::ByteOrder);
}

/// Types that no compiler writes: each member without a name is of the structure itself.
#[test]
fn types_that_contain_one_another_without_end_are_an_error() {
    let names = b"\0sock\0";
    let types = [1, (kind::STRUCT << 24) | 2, 8, 0, 1, 0, 0, 1, 0]
        .map(u32::to_ne_bytes)
        .concat();
    let length = u32::try_from(types.len()).unwrap();
    let header = [u32::from(MAGIC) | 1 << 16, 24, 0, length, length, 6]
        .map(u32::to_ne_bytes)
        .concat();
    let bytes = [&header[..], &types, names].concat();
    assert_eq!(
        Offsets::from_btf(&bytes).unwrap_err(),
        BtfError::Endless { root: "sock" }
    );
}
