//! Types as they are written, and whether a column can change from one to the other without being written anew.

use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::sql::Name;

use super::facts::{Column, Facts, Type};
use crate::tree::text;

/// A type as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TypeName {
    /// Its name in `pg_type`.
    pub(super) name: Name,
    pub(super) array: bool,
    /// -1 where none is written.
    pub(super) typmod: i32,
    pub(super) serial: bool,
}

/// How `pg_type` calls what SQL has other words for.
const ALIASES: [(&str, &str); 14] = [
    ("int", "int4"),
    ("integer", "int4"),
    ("smallint", "int2"),
    ("bigint", "int8"),
    ("real", "float4"),
    ("float", "float8"),
    ("decimal", "numeric"),
    ("dec", "numeric"),
    ("boolean", "bool"),
    ("serial", "int4"),
    ("serial4", "int4"),
    ("bigserial", "int8"),
    ("serial8", "int8"),
    ("smallserial", "int2"),
];

/// None for what is written in a way that is not known here.
pub(super) fn read(ty: &ast::Type) -> Option<TypeName> {
    let numbers = numbers(ty);
    let first = numbers.first().copied();
    let built_in = |name: &str, typmod: i32| {
        let name = Name { schema: Some("pg_catalog".to_owned()), name: name.to_owned() };
        Some(TypeName { name, array: false, typmod, serial: false })
    };
    let with_header = |n: Option<i32>| n.map_or(-1, |n| n + 4);
    let zoned = |plain: &'static str, zoned: &'static str| {
        let words = text(ty).to_ascii_lowercase();
        if words.contains("with") && !words.contains("without") { zoned } else { plain }
    };
    match ty {
        ast::Type::ArrayType(array) => read(&array.ty()?).map(|element| TypeName { array: true, ..element }),
        ast::Type::VarcharType(_) => built_in("varchar", with_header(first)),
        ast::Type::CharacterType(_) => built_in("bpchar", with_header(Some(first.unwrap_or(1)))),
        ast::Type::BitType(_) => built_in("bit", first.unwrap_or(1)),
        ast::Type::BitVaryingType(_) => built_in("varbit", first.unwrap_or(-1)),
        ast::Type::DoubleType(_) => built_in("float8", -1),
        ast::Type::TimeType(_) => built_in(zoned("time", "timetz"), first.unwrap_or(-1)),
        ast::Type::TimestampType(_) => built_in(zoned("timestamp", "timestamptz"), first.unwrap_or(-1)),
        ast::Type::IntervalType(_) => {
            built_in("interval", if text(ty).contains(' ') { -2 } else { first.unwrap_or(-1) })
        }
        ast::Type::PathType(path) => {
            let name: Name = text(&path.path_ref()?).parse().ok()?;
            let alias = ALIASES.iter().find(|(alias, _)| name.schema.is_none() && *alias == name.name);
            match (alias, name.name.as_str()) {
                (Some((alias, real)), _) => {
                    let mut found = built_in(real, if *real == "numeric" { numeric(&numbers) } else { -1 })?;
                    found.serial = alias.contains("serial");
                    if *alias == "float" && first.is_some_and(|bits| bits < 25) {
                        "float4".clone_into(&mut found.name.name);
                    }
                    Some(found)
                }
                (None, "numeric") => built_in("numeric", numeric(&numbers)),
                (None, "serial2") => Some(TypeName { serial: true, ..built_in("int2", -1)? }),
                (None, kind) => {
                    let typmod = match kind {
                        "varchar" | "bpchar" => with_header(first),
                        _ => first.unwrap_or(-1),
                    };
                    Some(TypeName { name, array: false, typmod, serial: false })
                }
            }
        }
    }
}

/// The whole numbers in the type's brackets.
fn numbers(ty: &ast::Type) -> Vec<i32> {
    let literals = ty.syntax().descendants().filter_map(ast::Literal::cast);
    literals.filter_map(|literal| text(&literal).parse().ok()).collect()
}

fn numeric(numbers: &[i32]) -> i32 {
    match numbers {
        [precision] => (precision << 16) + 4,
        [precision, scale, ..] => ((precision << 16) | (scale & 0x7ff)) + 4,
        [] => -1,
    }
}

/// What changing a column's type takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The same type.
    Nothing,
    /// Only the catalog; the rows stay as they are. Whether the indexes stay as well.
    Catalog { indexes_stay: bool },
    /// Each row is written anew: why.
    Rewrite(String),
}

impl Facts {
    pub(super) fn type_named(&self, wanted: &TypeName) -> Option<&Type> {
        let found = match &wanted.name.schema {
            Some(schema) => self.types.iter().find(|t| t.schema == *schema && t.name == wanted.name.name),
            None => self.search_path.iter().find_map(|schema| {
                self.types.iter().find(|t| t.schema == *schema && t.name == wanted.name.name)
            }),
        }?;
        if wanted.array { self.type_of(found.array) } else { Some(found) }
    }

    fn type_of(&self, oid: u32) -> Option<&Type> {
        self.types.iter().find(|t| t.oid == oid)
    }

    /// What it takes to let the column have this type, by the rules of `ATColumnChangeRequiresRewrite`.
    pub(super) fn change(&self, column: &Column, wanted: &TypeName) -> Option<Change> {
        let (old, new) = (self.type_of(column.type_oid)?, self.type_named(wanted)?);
        if old.oid == new.oid && (column.typmod == wanted.typmod) {
            return Some(Change::Nothing);
        }
        if self.is_constrained(new) {
            return Some(Change::Rewrite("the domain's constraints are checked".to_owned()));
        }
        let (old_base, old_typmod) = self.base(old, column.typmod);
        let (new_base, new_typmod) = self.base(new, wanted.typmod);
        let same = old_base.oid == new_base.oid;
        let bridged = same || self.binary_casts.contains(&(old_base.oid, new_base.oid));
        let timestamps = [old_base.name.as_str(), new_base.name.as_str()];
        let zones = timestamps == ["timestamp", "timestamptz"] || timestamps == ["timestamptz", "timestamp"];
        if zones && self.utc && new_typmod == -1 {
            return Some(Change::Catalog { indexes_stay: false });
        }
        if zones && !self.utc {
            return Some(Change::Rewrite("the session's time zone is not UTC".to_owned()));
        }
        if !bridged {
            let why = format!("{} and {} look different on disk", old_base.name, new_base.name);
            return Some(Change::Rewrite(why));
        }
        let old_typmod = if same { old_typmod } else { -1 };
        if widens(&new_base.name, old_typmod, new_typmod) {
            Some(Change::Catalog { indexes_stay: true })
        } else {
            Some(Change::Rewrite("each value is checked against the new length".to_owned()))
        }
    }

    /// Whether it is a domain whose values are checked, by itself or by one that it is made of.
    pub(super) fn is_constrained(&self, ty: &Type) -> bool {
        ty.constrained
            || (ty.kind == 'd' && self.type_of(ty.base).is_some_and(|base| self.is_constrained(base)))
    }

    /// What a domain is made of.
    fn base<'a>(&'a self, mut ty: &'a Type, mut typmod: i32) -> (&'a Type, i32) {
        for _ in 0..32 {
            if ty.kind != 'd' {
                break;
            }
            typmod = ty.base_typmod;
            let Some(base) = self.type_of(ty.base) else { break };
            ty = base;
        }
        (ty, typmod)
    }
}

/// Whether every value of the old length is one of the new length, as the length functions' planner support sees it.
fn widens(base: &str, old: i32, new: i32) -> bool {
    if new == old || new == -1 {
        return true;
    }
    match base {
        "varchar" | "varbit" => old >= 0 && new >= old,
        "timestamp" | "timestamptz" | "time" | "timetz" => new >= 6 || (old >= 0 && new >= old),
        "interval" => new >= 6,
        "numeric" => {
            let parts = |typmod: i32| ((typmod - 4) >> 16, (typmod - 4) & 0x7ff);
            let ((old_precision, old_scale), (precision, scale)) = (parts(old), parts(new));
            old >= 0 && old_scale == scale && old_precision <= precision
        }
        _ => false,
    }
}
