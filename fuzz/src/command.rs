//! What parses prints to a line that parses to the same.

use postern_smtp::command::Command;

/// The property.
pub fn check(data: &[u8]) {
    let Ok(command) = Command::parse(data) else { return };
    let printed = command.to_string();
    assert!(!printed.contains(['\r', '\n', '\0']), "{printed:?}");
    assert_eq!(Command::parse(printed.as_bytes()).as_ref(), Ok(&command), "{printed:?}");
    if let Command::Auth { mechanism, initial: Some(_) } = &command {
        let other = Command::Auth { mechanism: *mechanism, initial: Some("other".into()) };
        assert_eq!(format!("{command:?}"), format!("{other:?}"), "the initial response shows");
    }
}
