//! One server for a data directory: a second one refuses to start, and the first does not notice.

use crate::prelude::*;

#[test]
fn a_second_server_on_the_same_data_refuses_to_start() {
    let first = Setup::new().start();
    let second = Setup::new().prepare();
    // The same data directory, other ports.
    let file = std::fs::read_to_string(second.configuration_file()).unwrap();
    let file = file.replace(&second.data_dir().display().to_string(), &first.data_dir().display().to_string());
    std::fs::write(second.configuration_file(), file).unwrap();
    let output = second.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("in use") || said.contains("another"), "{said}");
    from_stranger(&first, ALICE, "unmoved");
    let _ = first.maildir(ALICE).wait_for_subject("unmoved", LONG);
}
