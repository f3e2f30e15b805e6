//! Checks the structure that `docs/architecture.md` describes: the floors of `domainmgr`, and which of them may import which.
//!
//! An import is any path that leads to a module of the same crate: in a `use`, in an expression, in a type, or in a macro's
//! arguments. Modules for tests do not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

/// The floors of `domainmgr`, from top to bottom. A file imports only from its own floor and from floors below.
const FLOORS: &[&[&str]] = &[
    &["main", "cli"],
    &["agent"],
    &["frontends"],
    &["core"],
    &["journal", "host"],
    &["toolstack"],
    &["spec"],
    &["base"],
];

/// Directories that must stay pure, and the names that they must not contain.
const PURE: &[&str] = &["core/", "journal/"];
const IMPURE: &[&str] = &[
    "crate::frontends",
    "crate::toolstack::libxl",
    "crate::toolstack::sim",
    "serde_json",
];

/// An import: the file that contains it, the file that it leads to, and its path as it was resolved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: String,
    to: String,
    path: String,
}

/// The imports of a crate.
struct Crate {
    /// All files, relative to `src`.
    files: BTreeSet<String>,
    imports: BTreeSet<Import>,
    /// Paths that lead to a module of the crate, or to another crate, with the file that contains them.
    paths: BTreeSet<(String, String)>,
}

type Modules = BTreeMap<Vec<String>, String>;

impl Crate {
    /// Reads the crate `name` in the directory `src`.
    fn read(src: &Path, name: &str) -> Self {
        let mut modules = Modules::new();
        let mut sources = Vec::new();
        for root in ["lib.rs", "main.rs"] {
            if src.join(root).exists() {
                load(src, root, Vec::new(), &mut modules, &mut sources);
            }
        }
        // Both roots have the empty path. Only the library is imported.
        modules.insert(Vec::new(), "lib.rs".to_owned());
        let mut found = Self {
            files: sources.iter().map(|(file, ..)| file.clone()).collect(),
            imports: BTreeSet::new(),
            paths: BTreeSet::new(),
        };
        for (file, module, syntax) in &sources {
            let mut reader = Reader {
                modules: &modules,
                name,
                file,
                module: module.clone(),
                aliases: BTreeMap::new(),
                paths: Vec::new(),
                collecting: true,
            };
            reader.visit_file(syntax);
            reader.collecting = false;
            reader.visit_file(syntax);
            for path in reader.paths {
                let to = match path.split_first() {
                    Some((first, rest)) if first == "crate" => file_of(&modules, rest),
                    _ => None,
                };
                let path = path.join("::");
                if let Some(to) = to.filter(|to| to != file && to != "lib.rs") {
                    let (from, path) = (file.clone(), path.clone());
                    found.imports.insert(Import { from, to, path });
                }
                found.paths.insert((file.clone(), path));
            }
        }
        found
    }
}

/// Returns the file of the innermost module on a path.
fn file_of(modules: &Modules, path: &[String]) -> Option<String> {
    (0..=path.len())
        .rev()
        .find_map(|end| modules.get(&path[..end]).cloned())
}

/// Reads a file, and the files of the modules that it declares.
fn load(
    src: &Path,
    file: &str,
    module: Vec<String>,
    modules: &mut Modules,
    sources: &mut Vec<(String, Vec<String>, syn::File)>,
) {
    let text = fs::read_to_string(src.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let syntax = syn::parse_file(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
    declared(src, file, &module, &syntax.items, modules, sources);
    modules.insert(module.clone(), file.to_owned());
    sources.push((file.to_owned(), module, syntax));
}

fn declared(
    src: &Path,
    file: &str,
    module: &[String],
    items: &[syn::Item],
    modules: &mut Modules,
    sources: &mut Vec<(String, Vec<String>, syn::File)>,
) {
    for item in items {
        let syn::Item::Mod(child) = item else {
            continue;
        };
        if is_test(&child.attrs) {
            continue;
        }
        let mut path = module.to_vec();
        path.push(child.ident.to_string());
        if let Some((_, items)) = &child.content {
            declared(src, file, &path, items, modules, sources);
            modules.insert(path, file.to_owned());
            continue;
        }
        let place = path.join("/");
        let candidates = [format!("{place}.rs"), format!("{place}/mod.rs")];
        let found = candidates.iter().find(|file| src.join(file).exists());
        let found = found.unwrap_or_else(|| panic!("{file}: no file for `mod {}`", child.ident));
        load(src, found, path, modules, sources);
    }
}

/// Returns whether the item is compiled for tests only.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|word| word == "test")
    })
}

/// Finds the paths in one file. The first visit collects what `use` brings into scope, the second resolves paths with that.
struct Reader<'a> {
    modules: &'a Modules,
    /// Name of the crate, by which `main.rs` imports the library.
    name: &'a str,
    file: &'a str,
    /// The module that is being visited.
    module: Vec<String>,
    /// Names that `use` brings into scope, for each module in the file.
    aliases: BTreeMap<(Vec<String>, String), Vec<String>>,
    paths: Vec<Vec<String>>,
    collecting: bool,
}

impl Reader<'_> {
    /// Returns the path from the root of a crate: `crate::…`, or the name of another crate first.
    fn resolve(&self, path: &[String], depth: usize) -> Vec<String> {
        let mut module = self.module.clone();
        let mut rest = path;
        match rest[0].as_str() {
            "crate" => module.clear(),
            name if name == self.name && self.file == "main.rs" => module.clear(),
            "self" => {}
            "super" => {
                while let Some(("super", after)) = rest.split_first().map(|(f, r)| (f.as_str(), r))
                {
                    module.pop();
                    rest = after;
                }
                return absolute(&module, rest);
            }
            name => {
                let mut child = module.clone();
                child.push(name.to_owned());
                if self.modules.contains_key(&child) {
                    return absolute(&child, &rest[1..]);
                }
                let known = self.aliases.get(&(module, name.to_owned()));
                return match known {
                    // `use a::b;` and then `b::c`. The depth ends `use a::a;`, where the second `a` is another crate.
                    Some(target) if depth < 8 && target.as_slice() != path => {
                        let mut whole = target.clone();
                        whole.extend_from_slice(&rest[1..]);
                        if target[0] == "crate" {
                            whole
                        } else {
                            self.resolve(&whole, depth + 1)
                        }
                    }
                    _ => path.to_vec(),
                };
            }
        }
        absolute(&module, &rest[1..])
    }

    /// Notes a path that occurs in the present module.
    fn note(&mut self, path: &[String]) {
        // A single name is imported elsewhere, or is local.
        if !self.collecting && path.len() > 1 {
            self.paths.push(self.resolve(path, 0));
        }
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Name(name) => self.import(before, &name.ident, &name.ident),
            syn::UseTree::Rename(name) => self.import(before, &name.ident, &name.rename),
            syn::UseTree::Glob(_) => self.note(before),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before);
                }
            }
        }
    }

    fn import(&mut self, before: &[String], name: &syn::Ident, alias: &syn::Ident) {
        let mut path = before.to_vec();
        if name != "self" {
            path.push(name.to_string());
        }
        let alias = if alias == "self" {
            path.last().cloned().unwrap_or_default()
        } else {
            alias.to_string()
        };
        if self.collecting {
            let target = self.resolve(&path, 0);
            self.aliases.insert((self.module.clone(), alias), target);
        } else {
            self.paths.push(self.resolve(&path, 0));
        }
    }

    /// Notes the paths among the tokens of a macro, which have no syntax tree.
    fn tokens(&mut self, mut cursor: Cursor<'_>) {
        let mut path = Vec::new();
        while !cursor.eof() {
            if let Some((ident, next)) = cursor.ident() {
                path.push(ident.to_string());
                cursor = next;
                if let Some(next) = colons(cursor) {
                    cursor = next;
                    continue;
                }
            } else if let Some((inner, _, _, next)) = cursor.any_group() {
                self.tokens(inner);
                cursor = next;
            } else if let Some((_, next)) = cursor.token_tree() {
                cursor = next;
            }
            if !path.is_empty() {
                self.note(&path);
                path.clear();
            }
        }
        if !path.is_empty() {
            self.note(&path);
        }
    }
}

/// Returns the place behind `::`, if the cursor is before one.
fn colons(cursor: Cursor<'_>) -> Option<Cursor<'_>> {
    let (first, next) = cursor.punct()?;
    let (second, next) = next.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(next)
}

fn absolute(module: &[String], rest: &[String]) -> Vec<String> {
    let root = std::iter::once("crate".to_owned());
    root.chain(module.iter().cloned())
        .chain(rest.iter().cloned())
        .collect()
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(i) => &i.attrs,
            syn::Item::Fn(i) => &i.attrs,
            syn::Item::Use(i) => &i.attrs,
            syn::Item::Impl(i) => &i.attrs,
            syn::Item::Struct(i) => &i.attrs,
            syn::Item::Enum(i) => &i.attrs,
            syn::Item::Const(i) => &i.attrs,
            syn::Item::Static(i) => &i.attrs,
            syn::Item::Trait(i) => &i.attrs,
            syn::Item::Type(i) => &i.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
            self.note(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.visit_path(&invocation.path);
        self.tokens(TokenBuffer::new2(invocation.tokens.clone()).begin());
    }

    // `pub(super)` imports nothing, and attributes name no modules.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Import>>;

/// Returns the graph between the units to which files belong.
fn graph<'a>(imports: &[&'a Import], unit: impl Fn(&'a str) -> &'a str) -> Graph<'a> {
    let mut graph = Graph::new();
    for import in imports {
        let (from, to) = (unit(&import.from), unit(&import.to));
        if from != to {
            graph.entry(from).or_default().entry(to).or_insert(import);
        }
    }
    graph
}

/// Describes a shortest cycle through each unit that is on one. Units on a cycle that was described are left out.
fn cycles(graph: &Graph<'_>) -> Vec<String> {
    let mut said = BTreeSet::new();
    let mut found = Vec::new();
    for start in graph.keys() {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([*start]);
        while let Some(unit) = queue.pop_front() {
            for next in graph.get(unit).into_iter().flat_map(BTreeMap::keys) {
                if !before.contains_key(next) {
                    before.insert(next, unit);
                    queue.push_back(next);
                }
            }
        }
        if !before.contains_key(start) || said.contains(start) {
            continue;
        }
        let mut cycle = vec![*start];
        let mut unit = before[start];
        while unit != *start {
            cycle.push(unit);
            unit = before[unit];
        }
        cycle.push(start);
        cycle.reverse();
        let mut text = String::new();
        for pair in cycle.windows(2) {
            let import = graph[pair[0]][pair[1]];
            let _ = write!(text, "\n    {} names {}", import.from, import.path);
        }
        said.extend(cycle);
        found.push(format!("a cycle:{text}"));
    }
    found
}

/// `domainmgr`, which is read once for all tests.
static DOMAINMGR: LazyLock<Crate> = LazyLock::new(|| {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("domainmgr/src");
    let all = Crate::read(&src, "domainmgr");
    assert!(all.files.len() > 100, "only {} files", all.files.len());
    assert!(
        all.imports.len() > 400,
        "only {} imports",
        all.imports.len()
    );
    all
});

/// Returns all imports of `domainmgr`.
fn imports() -> Vec<&'static Import> {
    DOMAINMGR.imports.iter().collect()
}

/// Returns the floor of a file, counted from the top.
fn floor(file: &str) -> usize {
    let first = file.split(['/', '.']).next().unwrap_or_default();
    let floor = FLOORS.iter().position(|names| names.contains(&first));
    floor.unwrap_or_else(|| panic!("{file} is on no floor"))
}

/// Returns the room of a file: a directory of a floor with everything in it, or a file directly on the floor.
fn room(file: &str) -> &str {
    let mut slashes = file.match_indices('/').map(|(at, _)| at);
    let (first, second) = (slashes.next(), slashes.next());
    let end = second.or_else(|| file.rfind('.')).unwrap_or(file.len());
    match first {
        Some(_) => &file[..end],
        None => file.trim_end_matches(".rs"),
    }
}

#[test]
fn no_file_imports_from_a_floor_above() {
    let up: Vec<String> = imports()
        .into_iter()
        .filter(|i| floor(&i.to) < floor(&i.from))
        .map(|i| format!("{} names {}", i.from, i.path))
        .collect();
    assert!(
        up.is_empty(),
        "imports from a floor above:\n{}",
        up.join("\n")
    );
}

#[test]
fn no_room_is_part_of_a_cycle() {
    let imports = imports();
    let found = cycles(&graph(&imports, room));
    assert!(found.is_empty(), "between rooms:\n{}", found.join("\n"));
}

#[test]
fn no_file_of_domainmgr_is_part_of_a_cycle() {
    let imports = imports();
    let found = cycles(&graph(&imports, |file| file));
    assert!(found.is_empty(), "between files:\n{}", found.join("\n"));
}

#[test]
fn what_is_pure_names_nothing_impure() {
    let all = &*DOMAINMGR;
    let named = |path: &str, name: &&str| {
        let rest = path.strip_prefix(*name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let found: Vec<String> = all
        .paths
        .iter()
        .filter(|(file, _)| PURE.iter().any(|pure| file.starts_with(pure)))
        .filter(|(_, path)| IMPURE.iter().any(|name| named(path, name)))
        .map(|(file, path)| format!("{file} names {path}"))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_of_libxl_is_part_of_a_cycle() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("libxl/src");
    let all = Crate::read(&src, "libxl");
    assert!(all.files.len() > 20, "only {} files", all.files.len());
    let imports: Vec<&Import> = all.imports.iter().collect();
    let found = cycles(&graph(&imports, |file| file));
    assert!(found.is_empty(), "between files:\n{}", found.join("\n"));
}

#[test]
fn no_file_has_more_than_500_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut long = Vec::new();
    for (name, src) in [("domainmgr", "domainmgr/src"), ("libxl", "libxl/src")] {
        let src = root.join(src);
        // Modules for tests are not among the files of a crate.
        for file in &Crate::read(&src, name).files {
            let lines = fs::read_to_string(src.join(file)).unwrap().lines().count();
            if lines > 500 {
                long.push(format!("{name}/src/{file}: {lines}"));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
