//! SCRAM (RFC 5802, RFC 7677) with a client that others have written, with and without channel binding (RFC 9266).

use postern_testkit::certificate::write_self_signed;
use postern_testkit::peers::open_folder;
use postern_testkit::peers::tools::{gsasl, have_gsasl};

use crate::prelude::*;

#[test]
fn gsasl_logs_in_by_every_mechanism_and_by_none_with_a_wrong_password() {
    require!(have_gsasl());
    let tls = open_folder();
    write_self_signed(tls.path(), "localhost");
    let trusted = tls.path().join("certificate.pem");
    let postern = with_alice(Setup::new().certificate_in(tls.path()));
    for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"] {
        let login = |account: &str, password: &str| gsasl(postern.submission(), &trusted, mechanism, (account, password));
        let (inside, said) = login(ALICE, PASSWORD);
        assert!(inside && said.contains("235 2.7.0"), "{mechanism}: {said}\n{}", postern.log());
        for (account, password) in [(ALICE, "wrong"), ("nobody@here.test", PASSWORD)] {
            let (inside, said) = login(account, password);
            assert!(!inside && !said.contains("235 2.7.0"), "{mechanism} as {account} with {password}: {said}");
        }
    }
}
