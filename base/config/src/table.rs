//! The one list of keys. A `section!` declares a struct and, beside each field, everything else there is to say of the key: text,
//! default, the reason for it, an example. Reading, `config show`, the generated manual and the hints in errors all come from it.
//! Promise: there is no second list of keys.

/// What kind of value a key takes.
#[derive(Clone, Debug)]
pub struct Kind {
    /// In words: `duration`, `list of networks`.
    pub words: String,
    /// The keys within, where the value is a table.
    pub table: Option<&'static Table>,
    /// True for a list of tables.
    pub repeated: bool,
}

impl Kind {
    /// A value without keys of its own.
    pub(crate) fn plain(words: &str) -> Self {
        Self { words: words.to_owned(), table: None, repeated: false }
    }

    /// A table.
    pub(crate) fn table(table: &'static Table) -> Self {
        Self { words: "table".to_owned(), table: Some(table), repeated: false }
    }
}

/// A section: a table with a known set of keys.
#[derive(Debug)]
pub struct Table {
    /// What the section is for.
    pub text: &'static str,
    /// The key that names one of several such tables.
    pub label: Option<&'static str>,
    /// What may stand in it.
    pub keys: &'static [Key],
    /// What a later version will know.
    pub later: &'static [Later],
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// As it is written in the file.
    pub name: &'static str,
    /// What it does.
    pub text: &'static str,
    /// What it takes.
    pub kind: fn() -> Kind,
    /// What holds without it, as it would be written.
    pub default: fn() -> Option<String>,
    /// What holds without it in words, where that is not the same everywhere.
    pub shown: Option<&'static str>,
    /// Why that is the default.
    pub why: &'static str,
    /// A right value, as TOML.
    pub example: &'static str,
    /// The smallest and the largest value.
    pub within: fn() -> Option<(String, String)>,
    /// True when a change needs a restart, because it was used before root was dropped or while the data was opened.
    pub restart: bool,
}

/// A key or section that this version does not carry out. Setting it is an error, since nothing is silently ignored.
#[derive(Debug)]
pub struct Later {
    /// As it is written in the file.
    pub name: &'static str,
    /// What it will do.
    pub text: &'static str,
}

impl Table {
    /// A key by its name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// The key at a path such as `domain[2].deliver`, below `table`.
pub(crate) fn key_at(table: &'static Table, path: &str) -> Option<&'static Key> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let key = table.key(first.split('[').next().unwrap_or(first))?;
    match (rest, (key.kind)().table) {
        (Some(rest), Some(within)) => key_at(within, rest),
        _ => Some(key),
    }
}

impl Key {
    /// A line that would be right, `connections = 10000`; none for tables, which have lines of their own.
    #[must_use]
    pub fn example_line(&self) -> Option<String> {
        if self.example.is_empty() { None } else { Some(format!("{} = {}", self.name, self.example)) }
    }

    /// What holds without it, in words or as it would be written.
    #[must_use]
    pub fn default_text(&self) -> Option<String> {
        self.shown.map(str::to_owned).or_else(self.default)
    }
}

/// Declares a section of the configuration: a public struct with one field for each key, and its [`Table`].
///
/// `by FIELD` names the field that tells several such tables apart; `: Default` derives `Default` from the defaults. A field is
/// `name: Type = default;`, or `=> |machine| ..` where the default depends on the machine and may be missing, or neither where
/// the key must be set (tables are then read from nothing, so that their own defaults hold). `keeps` declares fields that are no
/// keys.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident $(by $label:ident)? $(: $marker:ident)? {
            $(
                $(#[doc = $text:literal])+
                #[key(
                    example = $example:literal,
                    why = $why:literal
                    $(, name = $key:literal)?
                    $(, shown = $shown:literal)?
                    $(, within = $within:expr)?
                    $(, restart = $restart:literal)?
                )]
                pub $field:ident : $type:ty $(= $value:expr)? $(=> $maybe:expr)? ;
            )*
            $(later $later:literal = $later_text:literal ;)*
            $(keeps $kept:ident : $kept_type:ty ;)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $(
                $(#[doc = $text])+
                #[doc = ""]
                #[doc = concat!("Why the default: ", $why)]
                pub $field: $type,
            )*
            $(pub(crate) $kept: $kept_type,)*
        }

        impl $name {
            pub(crate) const TABLE: &'static $crate::table::Table = &$crate::table::Table {
                text: concat!($($about, "\n"),+),
                label: section!(@label $($label)?),
                keys: &[$(
                    $crate::table::Key {
                        name: section!(@name $field $($key)?),
                        text: concat!($($text, "\n"),+),
                        kind: <$type as $crate::value::Value>::kind,
                        default: section!(@default_text $type; $($value)?),
                        shown: section!(@shown $($shown)?),
                        why: $why,
                        example: $example,
                        within: section!(@within_text $type; $($within)?),
                        restart: section!(@restart $($restart)?),
                    },
                )*],
                later: &[$($crate::table::Later { name: $later, text: $later_text },)*],
            };
        }

        impl $crate::value::Value for $name {
            fn kind() -> $crate::table::Kind {
                $crate::table::Kind::table(Self::TABLE)
            }

            fn read(node: &$crate::read::Node<'_>, report: &mut $crate::read::Report<'_>) -> Option<Self> {
                let fields = $crate::read::Fields::of(node, Self::TABLE, report)?;
                Self::read_fields(&fields, report)
            }

            fn read_fields(fields: &$crate::read::Fields<'_>, report: &mut $crate::read::Report<'_>) -> Option<Self> {
                $(
                    let $field: Option<$type> =
                        fields.field(section!(@name $field $($key)?), section!(@default $type; $($value)?; $($maybe)?), report);
                    section!(@within fields, section!(@name $field $($key)?), $field.as_ref(), report; $($within)?);
                )*
                Some(Self {
                    $($field: $field?,)*
                    $($kept: Default::default(),)*
                })
            }

            fn print(&self, secrets: $crate::value::Secrets) -> String {
                let entries = [$((section!(@name $field $($key)?), $crate::value::Value::print(&self.$field, secrets))),*];
                $crate::value::print_table(entries.iter().map(|(name, value)| (*name, value.as_str())))
            }

            fn walk(&self, place: &$crate::show::Place, walk: &mut $crate::show::Walk) {
                $(
                    if let Some(place) = place.within(Self::TABLE, section!(@name $field $($key)?)) {
                        $crate::value::Value::walk(&self.$field, &place, walk);
                    }
                )*
            }

            fn label(&self) -> Option<String> {
                section!(@label_of self $($label)?)
            }
        }

        section!(@derive $name $($marker)?; {
            $($field: section!(@plain_default $type; $($value)?),)*
            $($kept: Default::default(),)*
        });
    };

    (@derive $name:ident; $fields:tt) => {};
    (@derive $name:ident $marker:ident; { $($field:ident: $value:expr,)* }) => {
        impl $marker for $name {
            fn default() -> Self {
                Self { $($field: $value,)* }
            }
        }
    };
    (@within $fields:ident, $name:expr, $value:expr, $report:ident;) => {};
    (@within $fields:ident, $name:expr, $value:expr, $report:ident; $within:expr) => {
        $fields.within($name, $value, &$within, $report);
    };
    (@label) => { None };
    (@label $label:ident) => { Some(stringify!($label)) };
    (@label_of $self:ident) => { None };
    (@label_of $self:ident $label:ident) => { Some($self.$label.to_string()) };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $key:literal) => { $key };
    (@shown) => { None };
    (@shown $shown:literal) => { Some($shown) };
    (@restart) => { false };
    (@restart $restart:literal) => { $restart };
    (@default_text $type:ty;) => { || None };
    (@default_text $type:ty; $value:expr) => {
        || Some(<$type as $crate::value::Value>::print(&$value, $crate::value::Secrets::Hidden))
    };
    (@within_text $type:ty;) => { || None };
    (@within_text $type:ty; $within:expr) => {
        || {
            let within: std::ops::RangeInclusive<$type> = $within;
            let print = |end: &$type| <$type as $crate::value::Value>::print(end, $crate::value::Secrets::Hidden);
            Some((print(within.start()), print(within.end())))
        }
    };
    (@default $type:ty; ;) => { $crate::read::Fallback::Required };
    (@default $type:ty; $value:expr;) => { $crate::read::Fallback::Plain(|| $value) };
    (@default $type:ty; ; $maybe:expr) => { $crate::read::Fallback::Machine($maybe) };
    (@plain_default $type:ty;) => { <$type as Default>::default() };
    (@plain_default $type:ty; $value:expr) => { $value };
}

pub(crate) use section;
