//! The two macros that keep the types of this module to a few lines each.

/// Defines a struct of the configuration.
///
/// A field that holds its `Default` is left out of the JSON, and a field that the JSON lacks gets its `Default`:
/// this is how libxl writes and reads its own structs. A keyed union of libxl comes after a `+`: it is written
/// always, as one key of the enclosing object.
macro_rules! config_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$fmeta])*
                #[serde(skip_serializing_if = "crate::config::json::is_unset")]
                pub $field: $ty,
            )*
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty ),* ;
            + $(#[$umeta:meta])* pub $union:ident : $unionty:ty $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $(
                $(#[$fmeta])*
                #[serde(default, skip_serializing_if = "crate::config::json::is_unset")]
                pub $field: $ty,
            )*
            $(#[$umeta])*
            #[serde(flatten)]
            pub $union: $unionty,
        }
    };
}

/// Defines an enumeration of libxl: a Rust enum whose variants are libxl's words.
///
/// It can be printed, parsed from its word and sent as JSON. A word that is not in the list becomes `Other` when it
/// comes from JSON, so that a value of a newer Xen survives; `FromStr`, which reads what people type, refuses it.
/// A variant may have a second word for people (`| "…"`): then `Display` prints that one and `FromStr` takes both.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $( $(#[$vmeta:meta])* $variant:ident = $word:literal $(| $shown:literal)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$vmeta])* $variant, )*
            /// A word of libxl that this version of the crate does not know.
            Other(String),
        }

        impl $name {
            /// Every value that this version of the crate knows, in libxl's order.
            pub const KNOWN: &'static [$name] = &[ $( $name::$variant ),* ];

            /// The word that stands for this value in libxl's JSON.
            pub fn word(&self) -> &str {
                match self {
                    $( $name::$variant => $word, )*
                    $name::Other(word) => word,
                }
            }

            /// The value for a word of libxl's JSON, in whatever case; `Other` if it is unknown.
            fn from_word(word: &str) -> $name {
                $( if word.eq_ignore_ascii_case($word) { return $name::$variant; } )*
                $name::Other(word.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $( $name::$variant => words!(@shown $word $($shown)?), )*
                    $name::Other(word) => word,
                })
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::config::UnknownWord;

            fn from_str(word: &str) -> Result<$name, Self::Err> {
                $(
                    if word.eq_ignore_ascii_case($word) $(|| word.eq_ignore_ascii_case($shown))? {
                        return Ok($name::$variant);
                    }
                )*
                Err(crate::config::UnknownWord::new(
                    stringify!($name),
                    word,
                    &[ $( words!(@shown $word $($shown)?) ),* ],
                ))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok($name::from_word(&word))
            }
        }
    };
    (@shown $word:literal) => { $word };
    (@shown $word:literal $shown:literal) => { $shown };
}
