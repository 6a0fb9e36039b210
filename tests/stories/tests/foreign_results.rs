//! Header fields that only we may write are cut out of what strangers send, and signatures that cover them hold all the same.

use postern_testkit::dns::TestDns;
use postern_testkit::peers::dkim::{Key, dkimpy, here};
use serde_json::json;

use crate::prelude::*;

fn looking_up(dns: &TestDns) -> Setup {
    Setup::new().dns(dns).with("policy.authenticity", "enabled", "true")
}

#[test]
fn results_that_claim_to_be_ours_are_cut_however_they_are_written_and_those_of_others_stay() {
    let dns = TestDns::start();
    let postern = looking_up(&dns).start();
    let forged = [
        "Authentication-Results: postern.test; spf=pass smtp.mailfrom=bank.test\n",
        "authentication-results:\n\tPOSTERN.test 1; dkim=pass header.d=bank.test\n",
        "Authentication-Results: \"postern.test\"; dmarc=pass header.from=bank.test\n",
        "Authentication-Results: (a (nested) comment)\n postern.test (another); arc=pass\n",
        "Authentication-Results: postern.test.; none\n",
        "Authentication-Results : postern.test; iprev=pass\n",
        "X-Spam-Flag: NO\nX-Spam-Score: -9.9\n",
    ];
    let of_others = [
        "Authentication-Results: mx.other.test; spf=pass smtp.mailfrom=postern.test",
        "Authentication-Results: not-postern.test; dkim=pass",
    ];
    for (number, field) in forged.iter().enumerate() {
        let text = message(STRANGER, ALICE, &format!("forged {number}"));
        let reply = postern.stranger().mail(STRANGER, &[ALICE], &format!("{}\n{field}{}\n{text}", of_others[0], of_others[1]));
        assert_eq!(reply.code, 250, "{field}: {reply:?}");
        let delivered = postern.maildir(ALICE).wait_for_subject(&format!("forged {number}"), LONG);
        let fields = delivered.headers("Authentication-Results");
        let whose = |field: &String| field.split([';', ' ']).next().unwrap().to_owned();
        let whose: Vec<String> = fields.iter().map(whose).collect();
        assert_eq!(whose, ["postern.test", "mx.other.test", "not-postern.test"], "{field}: {fields:?}");
        // Ours says what we have found out.
        assert!(fields[0].contains("spf=none") && fields[0].contains("dkim=none"), "{fields:?}");
        assert!(!fields[0].contains("=pass"), "{fields:?}");
        assert!(delivered.headers("X-Spam-Flag").is_empty() && delivered.headers("X-Spam-Score").is_empty(), "{}", delivered.0);
    }
}

#[test]
fn a_signature_holds_that_covers_what_was_cut_out_before_the_message_was_stored() {
    require!(here());
    let dns = TestDns::start();
    let key = Key::ed25519();
    dns.txt("s._domainkey.there.test", &key.record);
    let postern = looking_up(&dns).start();
    // In memory, and in a file.
    for size in [100, 200_000] {
        let subject = format!("size {size}");
        let text = format!(
            "Authentication-Results: postern.test; none\nX-Spam-Flag: NO\n{}{}",
            message(STRANGER, ALICE, &subject),
            "All work and no play makes Jack a dull boy.\n".repeat(size / 44)
        );
        let text = text.replace('\n', "\r\n");
        let sign = json!({"do": "sign", "message": text, "selector": "s", "domain": "there.test", "key": key.of_dkimpy,
            "algorithm": key.algorithm, "header": "simple", "body": "simple",
            "fields": ["From", "Subject", "X-Spam-Flag", "Authentication-Results"]});
        let signature = dkimpy(dns.address(), &[sign]).remove(0);
        let reply = postern.stranger().mail(STRANGER, &[ALICE], &format!("{}{text}", signature.as_str().unwrap()));
        assert_eq!(reply.code, 250, "{reply:?}");
        let delivered = postern.maildir(ALICE).wait_for_subject(&subject, LONG);
        let fields = delivered.headers("Authentication-Results");
        assert_eq!(fields.len(), 1, "{fields:?}");
        assert!(fields[0].starts_with("postern.test;") && fields[0].contains("dkim=pass header.d=there.test"), "{fields:?}");
        assert!(delivered.headers("X-Spam-Flag").is_empty());
    }
}
