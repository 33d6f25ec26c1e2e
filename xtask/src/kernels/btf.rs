//! Trims a kernel's type information (BTF) to a few structures, for the tests' fixtures. Pure.
//!
//! The structures keep every member and every type they contain. What a pointer points to goes: all pointers become one
//! pointer to `void`, and enumerations lose their values. The result is type information like any other, a hundredth
//! of the size.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

/// The structures the monitor resolves members of.
pub(crate) const STRUCTURES: [&str; 13] = [
    "sock",
    "net",
    "user_namespace",
    "sk_buff",
    "sock_exterr_skb",
    "cgroup",
    "kernfs_node",
    "tcp_sock",
    "task_struct",
    "files_struct",
    "fdtable",
    "file",
    "socket",
];

const MAGIC: u32 = 0xeb9f;
const HEADER_BYTES: u32 = 24;

/// Kinds of type; `enum` in the kernel's `include/uapi/linux/btf.h`.
mod kind {
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const ENUM64: u32 = 19;
}

/// One type as its words lie: name, information, size or type, and what its kind adds.
struct Type(Vec<u32>);

impl Type {
    fn kind(&self) -> u32 {
        (self.0[1] >> 24) & 0x1f
    }

    /// Where the numbers of the types it contains stand among its words. What a pointer points to is not contained.
    fn contained(&self) -> Vec<usize> {
        match self.kind() {
            kind::ARRAY => vec![3, 4],
            kind::STRUCT | kind::UNION => (4..self.0.len()).step_by(3).collect(),
            // typedef, volatile, const, restrict, type tag
            8..=11 | 18 => vec![2],
            _ => vec![],
        }
    }

    /// Where its names stand among its words.
    fn names(&self) -> Vec<usize> {
        let members = match self.kind() {
            kind::STRUCT | kind::UNION => 3..self.0.len(),
            _ => 0..0,
        };
        std::iter::once(0).chain(members.step_by(3)).collect()
    }
}

/// Type information with these structures and the types in them, of type information with more.
pub(crate) fn trim(bytes: &[u8], structures: &[&str]) -> Result<Vec<u8>> {
    let (types, names) = read(bytes)?;
    let mut wanted = Vec::new();
    for structure in structures {
        let named = |of: &Type| of.kind() == kind::STRUCT && name(names, of.0[0]) == Some(structure.as_bytes());
        match types.iter().position(named) {
            Some(index) => wanted.push(index + 1),
            None => eprintln!("   there is no structure `{structure}`"),
        }
    }
    let mut kept = BTreeSet::new();
    while let Some(id) = wanted.pop() {
        if id == 0 || !kept.insert(id) {
            continue;
        }
        let this = types.get(id - 1).with_context(|| format!("there is no type {id}"))?;
        for at in this.contained() {
            wanted.push(this.0[at] as usize);
        }
    }
    write(&types, names, &kept)
}

/// Every type, and the names.
fn read(bytes: &[u8]) -> Result<(Vec<Type>, &[u8])> {
    let header = words(
        bytes
            .get(..HEADER_BYTES as usize)
            .context("it is shorter than a header")?,
    );
    ensure!(
        header[0] & 0xffff == MAGIC,
        "it is no type information of this byte order"
    );
    let section = |at: u32, length: u32| {
        let start = header[1] as usize + at as usize;
        bytes.get(start..start + length as usize).context("it is cut off")
    };
    let (types, names) = (section(header[2], header[3])?, section(header[4], header[5])?);
    let all = words(types);
    let mut left = all.as_slice();
    let mut read = Vec::new();
    while let [_, info, ..] = left {
        let count = (info & 0xffff) as usize;
        let more = match (info >> 24) & 0x1f {
            // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
            2 | 7..=12 | 16 | 18 => 0,
            // integer, variable, declaration tag
            1 | 14 | 17 => 1,
            kind::ARRAY => 3,
            // structure, union, data section, wide enumeration
            4 | 5 | 15 | 19 => 3 * count,
            // enumeration, function prototype
            6 | 13 => 2 * count,
            unknown => bail!("type {} is of the unknown kind {unknown}", read.len() + 1),
        };
        let (this, rest) = left.split_at_checked(3 + more).context("its last type is cut off")?;
        read.push(Type(this.to_vec()));
        left = rest;
    }
    Ok((read, names))
}

fn write(types: &[Type], names: &[u8], kept: &BTreeSet<usize>) -> Result<Vec<u8>> {
    // Numbers run on from 1; every pointer is the first one.
    let mut numbers = BTreeMap::from([(0, 0)]);
    let (mut next, mut pointer) = (1_u32, None);
    let mut order = Vec::new();
    for id in kept {
        let this = &types[id - 1];
        if let (kind::PTR, Some(number)) = (this.kind(), pointer) {
            numbers.insert(*id, number);
            continue;
        }
        if this.kind() == kind::PTR {
            pointer = Some(next);
        }
        numbers.insert(*id, next);
        order.push(this);
        next += 1;
    }
    let mut pool = Names::default();
    let mut body = Vec::new();
    for this in order {
        let mut words = this.0.clone();
        for at in this.contained() {
            words[at] = numbers[&(words[at] as usize)];
        }
        for at in this.names() {
            words[at] = pool.number(name(names, words[at]).context("a name is cut off")?)?;
        }
        match this.kind() {
            kind::PTR => words[2] = 0,
            kind::ENUM | kind::ENUM64 => {
                words.truncate(3);
                words[1] &= !0xffff;
            }
            _ => {}
        }
        body.extend(words);
    }
    let body_bytes = u32::try_from(body.len() * 4)?;
    let names_bytes = u32::try_from(pool.bytes.len())?;
    let header = [MAGIC | 1 << 16, HEADER_BYTES, 0, body_bytes, body_bytes, names_bytes];
    let mut out: Vec<u8> = header.into_iter().chain(body).flat_map(u32::to_ne_bytes).collect();
    out.extend(pool.bytes);
    Ok(out)
}

/// Names, each once.
struct Names<'a> {
    bytes: Vec<u8>,
    known: BTreeMap<&'a [u8], u32>,
}

impl Default for Names<'_> {
    /// The first is the empty one: that of what has no name.
    fn default() -> Self {
        Self {
            bytes: vec![0],
            known: BTreeMap::from([(&b""[..], 0)]),
        }
    }
}

impl<'a> Names<'a> {
    fn number(&mut self, name: &'a [u8]) -> Result<u32> {
        if let Some(known) = self.known.get(name) {
            return Ok(*known);
        }
        let number = u32::try_from(self.bytes.len())?;
        self.bytes.extend(name);
        self.bytes.push(0);
        self.known.insert(name, number);
        Ok(number)
    }
}

fn name(names: &[u8], at: u32) -> Option<&[u8]> {
    names.get(at as usize..)?.split(|byte| *byte == 0).next()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().copied().map(u32::from_ne_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[u8] = b"\0kept\0gone\0inner\0p\0q\0e\0value\0int\0";

    fn at(name: &str) -> u32 {
        let place = NAMES
            .windows(name.len() + 1)
            .position(|it| it == [name.as_bytes(), b"\0"].concat());
        u32::try_from(place.unwrap()).unwrap()
    }

    /// `struct gone { int p; }; struct inner { const struct gone *p; struct gone *q; enum e { value } e; };
    /// struct kept { struct inner inner; };`
    fn some() -> Vec<u8> {
        let types: [&[u32]; 8] = [
            &[at("int"), 1 << 24, 4, 32],
            &[at("gone"), (4 << 24) | 1, 4, at("p"), 1, 0],
            &[0, 10 << 24, 2],
            &[0, 2 << 24, 3],
            &[0, 2 << 24, 2],
            &[at("e"), (6 << 24) | 1, 4, at("value"), 7],
            &[
                at("inner"),
                (4 << 24) | 3,
                24,
                at("p"),
                4,
                0,
                at("q"),
                5,
                64,
                at("e"),
                6,
                128,
            ],
            &[at("kept"), (4 << 24) | 1, 24, at("inner"), 7, 0],
        ];
        let body: Vec<u32> = types.concat();
        let length = u32::try_from(body.len() * 4).unwrap();
        let names = u32::try_from(NAMES.len()).unwrap();
        let header = [MAGIC | 1 << 16, HEADER_BYTES, 0, length, length, names];
        let mut bytes: Vec<u8> = header.into_iter().chain(body).flat_map(u32::to_ne_bytes).collect();
        bytes.extend(NAMES);
        bytes
    }

    #[test]
    fn a_structure_keeps_what_it_contains_and_loses_what_it_points_to() {
        let trimmed = trim(&some(), &["kept"]).unwrap();
        let (types, names) = read(&trimmed).unwrap();
        let named: Vec<_> = types.iter().map(|it| name(names, it.0[0]).unwrap()).collect();
        assert_eq!(named, [&b""[..], b"e", b"inner", b"kept"]);
        assert_eq!(types[0].0, [0, 2 << 24, 0]);
        assert_eq!(types[1].0[1..], [6 << 24, 4]);
        let members: Vec<_> = types[2].0[3..].chunks(3).map(|it| (it[1], it[2])).collect();
        assert_eq!(members, [(1, 0), (1, 64), (2, 128)]);
        assert_eq!(types[3].0[4], 3);
        assert!(!names.windows(5).any(|it| it == b"value"));
    }

    #[test]
    fn trimming_what_is_trimmed_changes_nothing() {
        let once = trim(&some(), &["kept"]).unwrap();
        assert_eq!(trim(&once, &["kept"]).unwrap(), once);
    }

    #[test]
    fn what_is_no_type_information_is_an_error() {
        assert!(trim(b"", &["kept"]).is_err());
        assert!(trim(&[0; 64], &["kept"]).is_err());
        let cut = some();
        assert!(trim(&cut[..cut.len() - 1], &["kept"]).is_err());
    }
}
