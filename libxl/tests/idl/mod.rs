//! The fields of libxl's structures, as its generated header declares them.

use std::collections::BTreeMap;

/// Place of each field of a structure in libxl's JSON, as a JSON pointer.
///
/// For an array it is the place in the first element. Nested structures are followed down to plain
/// fields.
pub(crate) fn fields_of(header: &str, structure: &str) -> Vec<String> {
    let mut all = Vec::new();
    Header::parse(header).walk(structure, "", &mut all);
    all
}

/// A member of a structure.
struct Member {
    kind: Kind,
    name: String,
}

enum Kind {
    /// Of this type, or a pointer to an array of it.
    Of {
        name: String,
        pointer: bool,
    },
    Struct(Vec<Member>),
    /// A union keyed by the member before it.
    Union(Vec<Member>),
}

struct Header(BTreeMap<String, Vec<Member>>);

impl Header {
    fn parse(text: &str) -> Self {
        let mut tokens = tokens(text);
        tokens.reverse();
        let mut structures = BTreeMap::new();
        while let Some(token) = tokens.pop() {
            if token != "typedef" || tokens.last().map(String::as_str) != Some("struct") {
                continue;
            }
            tokens.pop();
            let name = tokens.pop().expect("a structure has a name");
            if tokens.pop().as_deref() == Some("{") {
                structures.insert(name, members(&mut tokens));
            }
        }
        Self(structures)
    }

    fn walk(&self, structure: &str, at: &str, all: &mut Vec<String>) {
        let members = self.0.get(structure);
        self.walk_members(members.expect(structure), at, all);
    }

    fn walk_members(&self, members: &[Member], at: &str, all: &mut Vec<String>) {
        let mut before = "";
        for Member { kind, name } in members {
            let here = format!("{at}/{name}");
            match kind {
                Kind::Struct(inner) => self.walk_members(inner, &here, all),
                Kind::Union(arms) => {
                    for arm in arms {
                        let Kind::Struct(inner) = &arm.kind else {
                            panic!("{here}: a union of what are no structures");
                        };
                        self.walk_members(inner, &format!("{at}/{before}.{}", arm.name), all);
                    }
                }
                Kind::Of { .. } if name.starts_with("num_") => {}
                Kind::Of { name: of, pointer } => {
                    // A pointer to a structure always stands for an array.
                    let inside = match pointer {
                        true => format!("{here}/0"),
                        false => here.clone(),
                    };
                    // A structure that libxl writes as one value counts as a plain field.
                    let opaque = of == "libxl_cpuid_policy_list";
                    match self.0.get(of) {
                        Some(inner) if !opaque => self.walk_members(inner, &inside, all),
                        _ => all.push(here),
                    }
                }
            }
            before = name;
        }
    }
}

/// Takes the members up to and including the closing brace.
fn members(tokens: &mut Vec<String>) -> Vec<Member> {
    let mut all = Vec::new();
    loop {
        let first = tokens.pop().expect("a structure ends");
        if first == "}" {
            return all;
        }
        let kind = if first == "struct" || first == "union" {
            assert_eq!(tokens.pop().as_deref(), Some("{"), "an unnamed {first}");
            let inner = members(tokens);
            match first.as_str() {
                "struct" => Kind::Struct(inner),
                _ => Kind::Union(inner),
            }
        } else {
            let of = match first.as_str() {
                "const" => tokens.pop().expect("a type"),
                _ => first,
            };
            let pointer = tokens.last().map(String::as_str) == Some("*");
            if pointer {
                tokens.pop();
            }
            Kind::Of { name: of, pointer }
        };
        let name = tokens.pop().expect("a member has a name");
        assert_eq!(tokens.pop().as_deref(), Some(";"), "after {name}");
        all.push(Member { kind, name });
    }
}

/// Words and single characters of a text, without comments and preprocessor lines.
fn tokens(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', '*']) || line.starts_with("/*") {
            continue;
        }
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = match part(first) {
                true => rest.find(|c| !part(c)).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            if !first.is_whitespace() {
                all.push(rest[..end].to_owned());
            }
            rest = &rest[end..];
        }
    }
    all
}

/// Fields that our types do not have, and why.
pub(crate) const LEFT_OUT: [(&str, &str); 10] = [
    ("/b_info/type.hvm/apic", "the old place of /b_info/apic"),
    (
        "/b_info/type.hvm/timer_mode",
        "the old place of /b_info/timer_mode",
    ),
    (
        "/b_info/type.hvm/nested_hvm",
        "the old place of /b_info/nested_hvm",
    ),
    ("/b_info/type.pv/kernel", "the old place of /b_info/kernel"),
    (
        "/b_info/type.pv/bootloader",
        "the old place of /b_info/bootloader",
    ),
    (
        "/b_info/type.pv/bootloader_args",
        "the old place of /b_info/bootloader_args",
    ),
    (
        "/b_info/type.pv/cmdline",
        "the old place of /b_info/cmdline",
    ),
    (
        "/b_info/type.pv/ramdisk",
        "the old place of /b_info/ramdisk",
    ),
    (
        "/b_info/type.pv/features",
        "libxl neither reads nor writes it",
    ),
    // The key of the union: the arm that is present says the same.
    (
        "/b_info/type",
        "said by which of type.pv, type.pvh, type.hvm is there",
    ),
];
