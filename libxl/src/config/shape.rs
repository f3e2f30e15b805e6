//! Shapes of configurations, to tell whether libxl has taken over another one like this in full. Pure.

use super::{
    lost::{is_initial_number, is_initial_word},
    validate::largest,
};

/// Length from which a number may be too large for libxl's parser, whose numbers end at 2⁶³.
const LONG: usize = 19;

/// Returns the shape of a configuration: its JSON, with a letter in the place of each plain value.
///
/// libxl's parser treats each field by its name and by the kind of its value, whatever the other fields are. So of two
/// configurations with the same shape, [`lost_fields`](super::lost_fields) finds the same fields, and
/// [`check_values`](super::check_values) comes to the same result.
///
/// `text` is JSON without white space, as serde_json writes it. A plain value is a number of less than 19 digits or a
/// string without escapes; one that requests nothing, which is never lost, has a letter of its own. Everything else is
/// in the shape as it is, and so are the numbers of an array, which are those of a bitmap.
///
/// There is none for a configuration with a CPUID policy, in which libxl puts values together, for one with an escape in
/// a string, which may be a secret, and for one with a number that is too large for its field.
pub(crate) fn shape(text: &str) -> Option<Vec<u8>> {
    let mut shape = Vec::with_capacity(text.len());
    // The name of the field whose value comes next; the empty name in an array.
    let mut name = "";
    let mut at = 0;
    // Byte by byte: a search by characters took half of the instructions.
    let bytes = text.as_bytes();
    while let Some(&first) = bytes.get(at) {
        match first {
            b'"' => {
                let end = at + 1 + length(&bytes[at + 1..], |byte| matches!(byte, b'"' | b'\\'));
                let inner = &text[at + 1..end];
                match bytes.get(end..)? {
                    [b'"', b':', ..] if inner == "cpuid" => return None,
                    [b'"', b':', ..] => {
                        name = inner;
                        shape.extend_from_slice(inner.as_bytes());
                    }
                    [b'"', ..] if is_initial_word(name, inner) => shape.push(b'i'),
                    [b'"', ..] => shape.push(b's'),
                    _ => return None,
                }
                at = end + 1;
            }
            b'-' | b'0'..=b'9' => {
                let end = at + length(&bytes[at..], |byte| matches!(byte, b',' | b'}' | b']'));
                let number = &text[at..end];
                let plain = number.parse::<u64>().ok().filter(|_| !name.is_empty());
                match plain.filter(|_| number.len() < LONG) {
                    Some(number) if number > largest(name) => return None,
                    Some(number) if is_initial_number(name, number) => shape.push(b'i'),
                    Some(_) => shape.push(b'n'),
                    None => shape.extend_from_slice(number.as_bytes()),
                }
                at = end;
            }
            _ => {
                if first == b'[' {
                    name = "";
                }
                shape.push(first);
                at += 1;
            }
        }
    }
    Some(shape)
}

/// Number of bytes before the first that `ends` what they are part of.
fn length(bytes: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let end = bytes.iter().position(|byte| ends(*byte));
    end.unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::{super::check_values, shape};

    fn of(text: &str) -> String {
        String::from_utf8(shape(text).unwrap()).unwrap()
    }

    #[test]
    fn plain_values_are_all_alike() {
        let one = r#"{"c_info":{"type":"pv","name":"a"},"b_info":{"max_vcpus":1,"type.pv":{}}}"#;
        let other =
            r#"{"c_info":{"type":"pvh","name":"b c"},"b_info":{"max_vcpus":16,"type.pv":{}}}"#;
        assert_eq!(
            of(one),
            "{c_info:{type:s,name:s},b_info:{max_vcpus:n,type.pv:{}}}"
        );
        assert_eq!(of(one), of(other));
    }

    /// A field that libxl does not know is only lost if its value requests something.
    #[test]
    fn a_value_that_requests_nothing_is_another() {
        for (nothing, something) in [
            (r#"{"acpi":"<default>"}"#, r#"{"acpi":"True"}"#),
            (r#"{"vuart":"unknown"}"#, r#"{"vuart":"sbsa_uart"}"#),
            (r#"{"max_vcpus":0}"#, r#"{"max_vcpus":1}"#),
            (r#"{"cap":4294967295}"#, r#"{"cap":0}"#),
            (r#"{"plain":false}"#, r#"{"plain":true}"#),
            (r#"{"list":[]}"#, r#"{"list":["a"]}"#),
        ] {
            assert_ne!(of(nothing), of(something));
        }
    }

    #[test]
    fn what_depends_on_more_than_the_kind_is_in_it() {
        assert_eq!(of(r#"{"cpumap":[0,1,7],"n":1}"#), "{cpumap:[0,1,7],n:n}");
        assert_eq!(of(r#"{"a":[{"n":5},{"n":6}]}"#), "{a:[{n:n},{n:n}]}");
        // Numbers that libxl drops in silence.
        assert_eq!(
            of(r#"{"a":9223372036854775808}"#),
            "{a:9223372036854775808}"
        );
        assert_eq!(of(r#"{"a":-1,"b":1.5}"#), "{a:-1,b:1.5}");
    }

    /// Or else a number that must not reach libxl would pass because of another one.
    #[test]
    fn a_number_that_is_replaced_by_a_letter_is_within_the_limits_of_its_field() {
        let names = [
            "max_vcpus",
            "max_memkb",
            "backend_domid",
            "vmtrace_buf_kb",
            "cap",
        ];
        let numbers = (0..64).flat_map(|bits| {
            let power = 1u64 << bits;
            [power - 1, power, power + 1]
        });
        let mut letters = 0;
        for number in numbers.chain([u64::MAX]) {
            for name in names {
                let text = format!(r#"{{"{name}":{number}}}"#);
                let value = serde_json::from_str(&text).unwrap();
                if shape(&text)
                    .is_some_and(|shape| shape.ends_with(b":n}") || shape.ends_with(b":i}"))
                {
                    letters += 1;
                    check_values(&value).unwrap();
                }
            }
        }
        assert!(letters > 300, "{letters}");
    }

    #[test]
    fn some_configurations_have_none() {
        assert_eq!(shape(r#"{"cpuid":[{"leaf":1}]}"#), None);
        assert_eq!(shape(r#"{"passwd":"a\"b"}"#), None);
        assert_eq!(shape(r#"{"bootloader":"a\u0000b"}"#), None);
        assert_eq!(shape(r#"{"max_vcpus":2147483648}"#), None);
        assert_eq!(shape(r#"{"disks":[{"backend_domid":4294967295}]}"#), None);
    }

    #[test]
    fn a_text_that_is_cut_off_harms_nobody() {
        let text = r#"{"c_info":{"name":"a"},"disks":[{"vdev":"xvda","n":5}],"m":[1,2]}"#;
        for end in 0..text.len() {
            let _ = shape(&text[..end]);
        }
    }
}
