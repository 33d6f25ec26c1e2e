//! Writes type information as the kernel lays it out (`Documentation/bpf/btf.rst`).

/// Kinds of type; `include/uapi/linux/btf.h`.
pub(super) mod kind {
    pub(in super::super) const STRUCT: u32 = 4;
    pub(in super::super) const UNION: u32 = 5;
    pub(in super::super) const TYPEDEF: u32 = 8;
    pub(in super::super) const CONST: u32 = 10;
    /// Those that are nothing but a name and another type: from pointer to type tag.
    pub(in super::super) const REFERRING: [u32; 9] = [2, 7, 8, 9, 10, 11, 12, 16, 18];
    /// The others, with the bytes that follow for each of what they count: enum, function prototype, section, 64-bit enum.
    pub(in super::super) const OTHERS: [(u32, usize); 4] = [(6, 8), (13, 8), (15, 12), (19, 12)];
}

const INT: u32 = 1;

/// Types, one after the other; the first has number 1.
#[derive(Default)]
pub(super) struct Types {
    types: Vec<u8>,
    names: Vec<u8>,
    count: u32,
}

impl Types {
    /// A type that ends a chain of types.
    pub(super) fn int(&mut self, name: &str) -> u32 {
        let id = self.begin(name, INT << 24, 4);
        self.words(&[32]);
        id
    }

    /// A type that refers to another.
    pub(super) fn refer(&mut self, kind: u32, name: &str, to: u32) -> u32 {
        self.begin(name, kind << 24, to)
    }

    /// A structure or union of members: name, type, and place in bits.
    pub(super) fn composite(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) -> u32 {
        self.with_members(name, kind << 24, members)
    }

    /// A structure whose members' places carry a width in their first byte.
    pub(super) fn composite_of_bit_fields(&mut self, name: &str, members: &[(&str, u32, u32)]) -> u32 {
        self.with_members(name, (kind::STRUCT << 24) | (1 << 31), members)
    }

    /// A type of another kind that counts `count` things, `rest` bytes in all.
    pub(super) fn other(&mut self, kind: u32, count: u32, rest: usize) -> u32 {
        let id = self.begin("", (kind << 24) | count, 0);
        self.types.resize(self.types.len() + rest, 0);
        id
    }

    /// The header, the types, the names.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.name("");
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a small section");
        let (types, names) = (length(&self.types), length(&self.names));
        let mut bytes = Vec::from(0xeb9f_u16.to_ne_bytes());
        bytes.extend([1, 0]);
        for word in [24, 0, types, types, names] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.names);
        bytes
    }

    fn with_members(&mut self, name: &str, info: u32, members: &[(&str, u32, u32)]) -> u32 {
        let count = u32::try_from(members.len()).expect("few members");
        let id = self.begin(name, info | count, 0);
        for (name, of_type, place) in members {
            let name = self.name(name);
            self.words(&[name, *of_type, *place]);
        }
        id
    }

    fn begin(&mut self, name: &str, info: u32, size_or_type: u32) -> u32 {
        let name = self.name(name);
        self.words(&[name, info, size_or_type]);
        self.count += 1;
        self.count
    }

    /// Where the name stands; 0 for none.
    fn name(&mut self, name: &str) -> u32 {
        if self.names.is_empty() {
            self.names.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let wanted = [&[0], name.as_bytes(), &[0]].concat();
        let known = self.names.windows(wanted.len()).position(|names| names == wanted);
        let at = known.map_or(self.names.len(), |at| at + 1);
        if known.is_none() {
            self.names.extend(&wanted[1..]);
        }
        u32::try_from(at).expect("few names")
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend(word.to_ne_bytes());
        }
    }
}
