//! Finds a member of a kernel structure by its name in type information (BTF), as the kernel lays it out in
//! `/sys/kernel/btf/vmlinux`; the format is in the kernel's `Documentation/bpf/btf.rst`.
//!
//! Nothing is copied and nothing believed: whatever the bytes say, reading them ends, takes memory for one small entry
//! per type at most, and gives an answer or an error.

/// Where the header's own length stands, and how much of the header is read.
const HEADER_BYTES: usize = 24;
/// What every type begins with: its name, its kind, and its size or the type it refers to.
const TYPE_BYTES: usize = 12;
/// One member of a structure: its name, its type, its place.
const MEMBER_BYTES: usize = 12;
const MAGIC: u16 = 0xeb9f;
/// How deep anonymous structures and typedefs lie in one another in a kernel, with a wide margin.
const DEPTH: u32 = 32;
/// How many members are looked at for one name. The largest structures of 6.18 have some hundreds, nested ones included.
const MEMBERS: u32 = 100_000;

/// Kinds of type; `enum` in the kernel's `include/uapi/linux/btf.h`.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// What is wrong with type information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// It ends within its header.
    #[error("it ends after {bytes} bytes, within its header")]
    Short {
        /// How long it is.
        bytes: usize,
    },
    /// It is something else.
    #[error("it begins with {magic:#06x}, not with BTF's mark {MAGIC:#06x}")]
    NotBtf {
        /// What it begins with.
        magic: u16,
    },
    /// It was written by another kind of machine.
    #[error("it has the other byte order: it is of another machine's kernel")]
    ByteOrder,
    /// It has another format.
    #[error("its format has version {version}, and only version 1 is known: a newer obit may read it")]
    Version {
        /// The version.
        version: u8,
    },
    /// One of its sections does not lie within it.
    #[error("its {section} would end at byte {end}, and it has {bytes}: it is cut off or corrupted")]
    Section {
        /// Which one: the types or the names.
        section: &'static str,
        /// Where it would end.
        end: u64,
        /// How long everything is.
        bytes: usize,
    },
    /// A type does not lie within its section.
    #[error("type {id} reaches past the end of the types: it is corrupted")]
    TypeCutOff {
        /// The type's number.
        id: u32,
    },
    /// A type is of an unknown kind, so where the next begins is unknown too.
    #[error("type {id} is of the unknown kind {kind}: it is corrupted, or of a kernel that a newer obit knows")]
    UnknownKind {
        /// The type's number.
        id: u32,
        /// The kind.
        kind: u32,
    },
    /// A type is referred to that is not there.
    #[error("type {id} is referred to and is not there: it is corrupted")]
    NoSuchType {
        /// The number nothing has.
        id: u32,
    },
    /// Types contain one another without end.
    #[error("the types in {root} contain one another without end: it is corrupted")]
    Endless {
        /// The structure that was looked through.
        root: &'static str,
    },
}

/// One type.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    /// Whether members' places carry the widths of bit fields.
    kind_flag: bool,
    /// The type referred to, for the kinds that refer to one.
    refers_to: u32,
    /// What follows the first [`TYPE_BYTES`].
    rest: &'a [u8],
}

/// A member of a structure or union.
#[derive(Clone, Copy)]
struct Member {
    name: u32,
    of_type: u32,
    /// Counted from the start of the structure, bytes; `None` for a bit field.
    offset: Option<u32>,
}

/// Type information, ready to be asked.
pub(super) struct Btf<'a> {
    /// The type with number 1 and those after it; number 0 is `void`.
    types: Vec<Type<'a>>,
    names: &'a [u8],
}

impl<'a> Btf<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let header = header(bytes)?;
        let mut types = Vec::new();
        let mut left = header.types;
        while !left.is_empty() {
            // As many types as there are bytes at most, and files of 4 GiB are refused by their header.
            let id = u32::try_from(types.len() + 1).unwrap_or(u32::MAX);
            let (next, rest) = Type::split(left, id)?;
            types.push(next);
            left = rest;
        }
        Ok(Self {
            types,
            names: header.names,
        })
    }

    /// How far a member lies behind the start of a structure, bytes. The path goes through named members; anonymous ones
    /// are looked through. `None` if there is no such structure or member, or if it is a bit field.
    pub(super) fn offset_of(&self, root: &'static str, path: &str) -> Result<Option<u32>, BtfError> {
        // By name *and* kind: functions and variables share the names of structures.
        let named = |of: &&Type<'_>| of.kind == kind::STRUCT && self.is(of.name, root);
        let Some(mut inside) = self.types.iter().find(named).copied() else {
            return Ok(None);
        };
        let mut search = Search {
            btf: self,
            root,
            members_left: MEMBERS,
        };
        let mut offset = 0_u32;
        let mut steps = path.split('.').peekable();
        while let Some(name) = steps.next() {
            let Some(member) = search.member(inside, name, DEPTH)? else {
                return Ok(None);
            };
            let Some(sum) = member.offset.and_then(|more| offset.checked_add(more)) else {
                return Ok(None);
            };
            offset = sum;
            if steps.peek().is_some() {
                match self.strip(member.of_type, root)? {
                    Some(next) => inside = next,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(offset))
    }

    /// The type behind typedefs and qualifiers; `None` for `void`.
    fn strip(&self, id: u32, root: &'static str) -> Result<Option<Type<'a>>, BtfError> {
        let mut id = id;
        for _ in 0..DEPTH {
            let Some(index) = id.checked_sub(1) else {
                return Ok(None);
            };
            let found = usize::try_from(index).ok().and_then(|index| self.types.get(index));
            let found = found.ok_or(BtfError::NoSuchType { id })?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => id = found.refers_to,
                _ => return Ok(Some(*found)),
            }
        }
        Err(BtfError::Endless { root })
    }

    /// Whether the name at this place among the names is that one.
    fn is(&self, at: u32, name: &str) -> bool {
        let named = usize::try_from(at).ok().and_then(|at| self.names.get(at..));
        named
            .and_then(|named| named.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// A search for a member, which ends whatever the types contain.
struct Search<'b, 'a> {
    btf: &'b Btf<'a>,
    root: &'static str,
    members_left: u32,
}

impl Search<'_, '_> {
    /// The member of that name, its offset counted from the start of `inside`.
    fn member(&mut self, inside: Type<'_>, name: &str, depth: u32) -> Result<Option<Member>, BtfError> {
        let endless = BtfError::Endless { root: self.root };
        for member in inside.members() {
            self.members_left = self.members_left.checked_sub(1).ok_or(endless)?;
            if member.name != 0 {
                if self.btf.is(member.name, name) {
                    return Ok(Some(member));
                }
                continue;
            }
            let depth = depth.checked_sub(1).ok_or(endless)?;
            let Some(anonymous) = self.btf.strip(member.of_type, self.root)? else {
                continue;
            };
            if let Some(found) = self.member(anonymous, name, depth)? {
                let sum = member.offset.zip(found.offset).and_then(|(a, b)| a.checked_add(b));
                return Ok(Some(Member { offset: sum, ..found }));
            }
        }
        Ok(None)
    }
}

impl<'a> Type<'a> {
    /// Takes the first type off the bytes.
    fn split(bytes: &'a [u8], id: u32) -> Result<(Self, &'a [u8]), BtfError> {
        let cut_off = BtfError::TypeCutOff { id };
        let [name, info, refers_to] = words(bytes).ok_or(cut_off)?;
        let count = usize::try_from(info & 0xffff).map_err(|_| cut_off)?;
        let kind = (info >> 24) & 0x1f;
        let rest_bytes = match kind {
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION => count * MEMBER_BYTES,
            kind::ENUM | kind::FUNC_PROTO => count * 8,
            kind::DATASEC | kind::ENUM64 => count * 12,
            _ => return Err(BtfError::UnknownKind { id, kind }),
        };
        let (rest, next) = bytes
            .get(TYPE_BYTES..)
            .and_then(|rest| rest.split_at_checked(rest_bytes))
            .ok_or(cut_off)?;
        let this = Self {
            name,
            kind,
            kind_flag: info >> 31 == 1,
            refers_to,
            rest,
        };
        Ok((this, next))
    }

    fn members(self) -> impl Iterator<Item = Member> {
        let members = match self.kind {
            kind::STRUCT | kind::UNION => self.rest,
            _ => &[],
        };
        let (members, _) = members.as_chunks::<MEMBER_BYTES>();
        members.iter().filter_map(move |member| {
            let [name, of_type, place] = words(member)?;
            let (bits, width) = if self.kind_flag {
                (place & 0x00ff_ffff, place >> 24)
            } else {
                (place, 0)
            };
            let offset = (width == 0 && bits % 8 == 0).then_some(bits / 8);
            Some(Member { name, of_type, offset })
        })
    }
}

/// The two sections.
struct Header<'a> {
    types: &'a [u8],
    names: &'a [u8],
}

fn header(bytes: &[u8]) -> Result<Header<'_>, BtfError> {
    if bytes.is_empty() {
        return Err(BtfError::Empty);
    }
    let short = BtfError::Short { bytes: bytes.len() };
    let magic = bytes.first_chunk().copied().map(u16::from_ne_bytes).ok_or(short)?;
    if magic == MAGIC.swap_bytes() {
        return Err(BtfError::ByteOrder);
    }
    if magic != MAGIC {
        return Err(BtfError::NotBtf { magic });
    }
    let header = bytes.get(..HEADER_BYTES).ok_or(short)?;
    match header.get(2) {
        Some(1) => {}
        version => {
            return Err(BtfError::Version {
                version: version.copied().unwrap_or(0),
            });
        }
    }
    let [own_bytes, types_at, types_bytes, names_at, names_bytes] = header.get(4..).and_then(words).ok_or(short)?;
    let section = |section: &'static str, at: u32, length: u32| {
        let start = u64::from(own_bytes) + u64::from(at);
        let end = start + u64::from(length);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        range
            .and_then(|(start, end)| bytes.get(start..end))
            .ok_or(BtfError::Section {
                section,
                end,
                bytes: bytes.len(),
            })
    };
    Ok(Header {
        types: section("types", types_at, types_bytes)?,
        names: section("names", names_at, names_bytes)?,
    })
}

/// The first words.
fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let (words, _) = bytes.as_chunks();
    words.first_chunk().map(|words| words.map(u32::from_ne_bytes))
}

#[cfg(test)]
mod tests;
