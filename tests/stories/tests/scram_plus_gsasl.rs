//! SCRAM (RFC 5802, RFC 7677) with a client that others have written, with and without channel binding (RFC 9266).

use postern_testkit::peers::tools::{gsasl, have_gsasl};

use crate::prelude::*;

#[test]
fn gsasl_logs_in_by_every_mechanism_and_by_none_with_a_wrong_password() {
    require!(have_gsasl());
    let postern = with_alice(Setup::new());
    for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"] {
        let (inside, said) = gsasl(postern.submission(), mechanism, ALICE, PASSWORD);
        assert!(inside && said.contains("235 2.7.0"), "{mechanism}: {said}\n{}", postern.log());
        let (inside, said) = gsasl(postern.submission(), mechanism, ALICE, "wrong");
        assert!(!inside && said.contains("535 5.7.8"), "{mechanism} with a wrong password: {said}");
        let (inside, said) = gsasl(postern.submission(), mechanism, "nobody@here.test", PASSWORD);
        assert!(!inside && said.contains("535 5.7.8"), "{mechanism} for nobody: {said}");
    }
}
