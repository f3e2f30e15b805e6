//! The request of libxl, made by the program's name, its arguments and its environment.

use std::collections::BTreeMap;
use std::path::Path;

/// The script whose place the program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Block,
    VifBridge,
    VifRoute,
    VifOpenvswitch,
}

impl Script {
    const ALL: [Self; 4] = [
        Self::Block,
        Self::VifBridge,
        Self::VifRoute,
        Self::VifOpenvswitch,
    ];

    /// Returns the file name of Xen's own script.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::VifBridge => "vif-bridge",
            Self::VifRoute => "vif-route",
            Self::VifOpenvswitch => "vif-openvswitch",
        }
    }

    fn commands(self) -> &'static [Command] {
        match self {
            Self::Block => &[Command::Add, Command::Remove],
            _ => &[
                Command::Online,
                Command::Offline,
                Command::Add,
                Command::Remove,
            ],
        }
    }
}

/// The change to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The backend of a guest's network interface comes.
    Online,
    /// The backend of a guest's network interface goes.
    Offline,
    /// A disk, or the tap of an emulated network card, comes.
    Add,
    /// A disk, or the tap of an emulated network card, goes.
    Remove,
}

impl Command {
    fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }

    /// Returns whether the device comes, and does not go.
    pub(crate) fn comes(self) -> bool {
        matches!(self, Self::Online | Self::Add)
    }
}

/// One call of the program.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) script: Script,
    pub(crate) command: Command,
    /// The directory of the backend in xenstore.
    pub(crate) backend: String,
    /// The environment, and the arguments of the form `name=value`, which have priority.
    variables: BTreeMap<String, String>,
}

impl Call {
    /// Reads the call. An error says what is wrong with it.
    pub(crate) fn new(
        program: &str,
        words: &[String],
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, String> {
        let name = Path::new(program).file_name().unwrap_or_default();
        let script = Script::ALL.into_iter().find(|s| name == s.name());
        let script = script.ok_or_else(|| {
            let names = Script::ALL.map(Script::name).join(", ");
            format!("to be called as one of {names}; see xen-hotplug --help")
        })?;
        let mut variables: BTreeMap<String, String> = environment.collect();
        let mut command = None;
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => {
                    variables.insert(name.to_owned(), value.to_owned());
                }
                None if command.is_none() => command = Some(word.as_str()),
                None => {}
            }
        }
        let commands = script.commands();
        let asked = command.unwrap_or_default();
        let command = commands.iter().copied().find(|c| c.word() == asked);
        let command = command.ok_or_else(|| {
            let words: Vec<_> = commands.iter().map(|c| c.word()).collect();
            format!("Invalid command: {asked}; expected {}", words.join(" or "))
        })?;
        let backend = variables.get("XENBUS_PATH").cloned().unwrap_or_default();
        let call = Self {
            script,
            command,
            backend,
            variables,
        };
        if call.backend.is_empty() && !call.is_of_tap() {
            return Err("XENBUS_PATH is not set".to_owned());
        }
        Ok(call)
    }

    /// Returns the value of a variable; `None` if it is not set, or empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the path of a key of the backend.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.backend)
    }

    /// Returns whether the call is about a tap, the backend of an emulated network card.
    pub(crate) fn is_of_tap(&self) -> bool {
        self.script != Script::Block && self.variable("type_if") == Some("tap")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn call(
        program: &str,
        words: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Call, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let pairs = environment.iter();
        let pairs = pairs.map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Call::new(program, &words, pairs)
    }

    const PATH: (&str, &str) = ("XENBUS_PATH", "backend/vbd/5/51712");

    #[test]
    fn the_name_of_the_program_and_the_first_word_say_what_to_do() {
        let block = call("/usr/libexec/xen-hotplug/block", &["add"], &[PATH]).unwrap();
        assert_eq!((block.script, block.command), (Script::Block, Command::Add));
        assert_eq!(block.key("node"), "backend/vbd/5/51712/node");
        let vif = call("vif-bridge", &["type_if=vif", "online"], &[PATH]).unwrap();
        assert_eq!(
            (vif.script, vif.command),
            (Script::VifBridge, Command::Online)
        );
    }

    #[test]
    fn arguments_have_priority_over_the_environment() {
        let words = ["online", "bridge=b1"];
        let environment = [PATH, ("bridge", "b0"), ("netdev", "")];
        let call = call("vif-bridge", &words, &environment).unwrap();
        assert_eq!(call.variable("bridge"), Some("b1"));
        assert_eq!(call.variable("netdev"), None);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let of = |program, words: &[&str], environment: &[(&str, &str)]| {
            call(program, words, environment).unwrap_err()
        };
        assert_eq!(
            of("xen-hotplug", &["add"], &[PATH]),
            "to be called as one of block, vif-bridge, vif-route, vif-openvswitch; see xen-hotplug --help"
        );
        assert_eq!(
            of("block", &["online"], &[PATH]),
            "Invalid command: online; expected add or remove"
        );
        assert_eq!(
            of("block", &[], &[PATH]),
            "Invalid command: ; expected add or remove"
        );
        assert_eq!(of("block", &["add"], &[]), "XENBUS_PATH is not set");
    }
}
