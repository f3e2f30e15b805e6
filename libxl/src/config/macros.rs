//! The two macros that define the types of this module in a few lines each.

/// Defines a struct of the configuration.
///
/// A field that holds its `Default` is left out of the JSON, and a field that the JSON lacks gets its `Default`.
/// libxl writes and reads its own structs in the same way. A keyed union of libxl follows a `+`; the union is always
/// written, as one key of the enclosing object.
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
/// A value can be printed, parsed from its word and sent as JSON. An unknown word becomes `Other` when it comes from
/// JSON, so that a value of a newer Xen survives. `FromStr` reads user input and refuses an unknown word. A variant may
/// have a second word for users (`| "…"`): `Display` then prints the second word, and `FromStr` accepts both.
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

            /// Returns the word for this value in libxl's JSON.
            pub fn word(&self) -> &str {
                match self {
                    $( $name::$variant => $word, )*
                    $name::Other(word) => word,
                }
            }

            /// Returns the value for a word of libxl's JSON, ignoring case, or `Other` if the word is unknown.
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
            type Err = crate::config::error::UnknownWord;

            fn from_str(word: &str) -> Result<$name, Self::Err> {
                $(
                    if word.eq_ignore_ascii_case($word) $(|| word.eq_ignore_ascii_case($shown))? {
                        return Ok($name::$variant);
                    }
                )*
                Err(crate::config::error::UnknownWord::new(
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
