//! Writes slips into source files: `slips FOLDER SKIP FILE...`. Each is off unless `DOORWAY_MUTANT` is its number, so that one
//! build holds all of them, where one build for each would take days. What was written is listed: `NUMBER FILE:LINE WHAT`.
//! SKIP is a file of lines `FILE:LINE` on which none is written, since it would not compile there.
//!
//! Kinds: a function that does nothing or gives what it gives at its simplest, a comparison turned round, a part of a
//! condition left out, a condition that is never true, a `!` left out.

use std::fs;
use std::path::Path;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Block, Expr, ReturnType, Type, UnOp};

/// Text that goes into a file at a byte.
struct Insertion {
    at: usize,
    /// Of two at one byte, which comes first: what ends something before what begins something, inner before outer.
    order: (u8, i64),
    text: String,
}

/// A file under way.
struct Slips<'a> {
    file: &'a str,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
    source: &'a str,
    first: usize,
    skip: &'a [String],
    insertions: Vec<Insertion>,
    list: Vec<String>,
}

impl<'a> Slips<'a> {
    fn new(file: &'a str, source: &'a str, first: usize, skip: &'a [String]) -> Slips<'a> {
        let begins = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(begins).collect();
        Slips { file, lines, source, first, skip, insertions: Vec::new(), list: Vec::new() }
    }

    fn byte(&self, at: LineColumn) -> usize {
        let line = self.lines[at.line - 1];
        line + self.source[line..].chars().take(at.column).map(char::len_utf8).sum::<usize>()
    }

    /// A new slip, as the condition under which it is made.
    fn slip(&mut self, line: usize, what: &str) -> String {
        if self.skip.contains(&format!("{}:{line}", self.file)) {
            return "false".to_owned();
        }
        let number = self.first + self.list.len();
        self.list.push(format!("{number} {}:{line} {what}", self.file));
        format!("crate::mutants::is({number})")
    }

    fn wrap(&mut self, expr: &Expr, before: &str, after: &str) {
        let (from, to) = (self.byte(expr.span().start()), self.byte(expr.span().end()));
        let length = (to - from) as i64;
        // The longer of two that begin together is the outer one, and its text comes first; at their ends, last.
        self.insertions.push(Insertion { at: from, order: (1, -length), text: before.to_owned() });
        self.insertions.push(Insertion { at: to, order: (0, length), text: after.to_owned() });
    }

    /// A part of a condition: as if it were not there.
    fn left_out(&mut self, part: &Expr, op: &BinOp) {
        if has_let(part) {
            return;
        }
        let what = format!("left out: {}", short(&self.source[self.byte(part.span().start())..self.byte(part.span().end())]));
        let slip = self.slip(part.span().start().line, &what);
        match op {
            BinOp::And(_) => self.wrap(part, &format!("({slip} || "), ")"),
            _ => self.wrap(part, &format!("(!{slip} && "), ")"),
        }
    }

    fn never(&mut self, condition: &Expr) {
        if has_let(condition) {
            return;
        }
        let slip = self.slip(condition.span().start().line, "never true");
        self.wrap(condition, &format!("(!{slip} && ("), "))");
    }

    fn body(&mut self, name: &str, output: &ReturnType, block: &Block) {
        let values: &[&str] = match output {
            ReturnType::Default => &["()"],
            ReturnType::Type(_, output) => values(output),
        };
        let at = self.byte(block.span().start()) + 1;
        for value in values {
            let slip = self.slip(block.span().start().line, &format!("{name} gives {value}"));
            // Behind nothing: no expression ends where a body begins.
            let order = (0, self.list.len() as i64);
            self.insertions.push(Insertion { at, order, text: format!(" if {slip} {{ return {value}; }} ") });
        }
    }

    fn written(mut self) -> (String, Vec<String>) {
        self.insertions.sort_by_key(|insertion| (insertion.at, insertion.order));
        let (mut text, mut last) = (String::new(), 0);
        for insertion in &self.insertions {
            text.push_str(&self.source[last..insertion.at]);
            text.push_str(&insertion.text);
            last = insertion.at;
        }
        text.push_str(&self.source[last..]);
        (text, self.list)
    }
}

fn short(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(70).collect()
}

/// Whether there is a `let` among its parts: it names something that is used later.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// What a function of this type gives at its simplest.
fn values(output: &Type) -> &'static [&'static str] {
    let Type::Path(path) = output else { return &[] };
    let Some(last) = path.path.segments.last() else { return &[] };
    let arguments = &last.arguments;
    match last.ident.to_string().as_str() {
        "bool" => &["true", "false"],
        "usize" | "u64" | "u32" | "u16" | "i64" => &["0"],
        "String" => &["String::new()"],
        "Vec" => &["Vec::new()"],
        "Option" => &["None"],
        "Result" => match arguments {
            syn::PathArguments::AngleBracketed(all) => match all.args.first() {
                Some(syn::GenericArgument::Type(Type::Tuple(tuple))) if tuple.elems.is_empty() => &["Ok(())"],
                _ => &[],
            },
            _ => &[],
        },
        _ => &[],
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test") || attribute.path().is_ident("cfg")
    })
}

impl<'ast> Visit<'ast> for Slips<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if item.sig.constness.is_none() && !is_test(&item.attrs) {
            self.body(&item.sig.ident.to_string(), &item.sig.output, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if item.sig.constness.is_none() && item.sig.ident != "fmt" {
            self.body(&item.sig.ident.to_string(), &item.sig.output, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    // Constants are made before there is a process to ask.
    fn visit_item_const(&mut self, _item: &'ast syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _item: &'ast syn::ImplItemConst) {}
    fn visit_item_static(&mut self, _item: &'ast syn::ItemStatic) {}
    // Array lengths, generics.
    fn visit_type(&mut self, _type: &'ast Type) {}
    fn visit_pat(&mut self, _pattern: &'ast syn::Pat) {}
    fn visit_attribute(&mut self, _attribute: &'ast syn::Attribute) {}

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        match &binary.op {
            BinOp::And(_) | BinOp::Or(_) => {
                self.left_out(&binary.left, &binary.op);
                self.left_out(&binary.right, &binary.op);
            }
            BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                let whole = Expr::Binary(binary.clone());
                let what = short(&self.source[self.byte(whole.span().start())..self.byte(whole.span().end())]);
                let slip = self.slip(whole.span().start().line, &format!("turned round: {what}"));
                self.wrap(&whole, &format!("({slip} ^ ("), "))");
            }
            _ => {}
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        // A number's `!` is none of ours, and the files have none.
        if matches!(unary.op, UnOp::Not(_)) {
            let slip = self.slip(unary.span().start().line, "left out: !");
            self.wrap(&Expr::Unary(unary.clone()), &format!("({slip} ^ ("), "))");
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        self.never(&expr.cond);
        visit::visit_expr_if(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.never(guard);
        }
        visit::visit_arm(self, arm);
    }
}

/// What the slips ask, as a module of the crate.
const SWITCH: &str = r#"
/// Which slip is made.
mod mutants {
    static CHOSEN: std::sync::LazyLock<u32> =
        std::sync::LazyLock::new(|| std::env::var("DOORWAY_MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0));

    #[inline]
    pub fn is(number: u32) -> bool {
        *CHOSEN == number
    }
}
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "slips FOLDER SKIP FILE...";
    let folder = arguments.next().ok_or(usage)?;
    let folder = Path::new(&folder);
    let skip = fs::read_to_string(arguments.next().ok_or(usage)?)?;
    let skip: Vec<String> = skip.lines().map(str::to_owned).collect();
    let mut next = 1;
    for file in arguments {
        let path = folder.join(&file);
        let source = fs::read_to_string(&path)?;
        let mut slips = Slips::new(&file, &source, next, &skip);
        slips.visit_file(&syn::parse_file(&source).map_err(|error| format!("{file}: {error}"))?);
        let (text, list) = slips.written();
        fs::write(&path, text)?;
        next += list.len();
        list.iter().for_each(|line| println!("{line}"));
    }
    let lib = folder.join("src/lib.rs");
    let text = fs::read_to_string(&lib)?;
    fs::write(lib, text + SWITCH)?;
    Ok(())
}
