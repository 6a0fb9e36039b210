//! `postern dns`: what to publish for a domain, and whether it is.

use postern_testkit::dns::TestDns;
use postern_testkit::program::text;
use serde_json::Value;

use crate::prelude::*;

fn check(postern: &Postern) -> (Option<i32>, Value) {
    let output = postern.run(&["dns", "check", "here.test", "--json"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output))))
}

fn states(checked: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let records = checked["records"].as_array().unwrap();
    records
        .iter()
        .map(|record| (format!("{} {}", text(&record["name"]), text(&record["type"])), text(&record["state"])))
        .collect()
}

fn state(checked: &Value, of: &str) -> String {
    let states = states(checked);
    states.iter().find(|(name, _)| name == of).unwrap_or_else(|| panic!("no {of} in {states:?}")).1.clone()
}

#[test]
fn what_is_to_be_published_is_said_and_what_is_not_is_found() {
    let dns = TestDns::start();
    let setup = Setup::new()
        .dns(&dns)
        .table("[[dkim]]\ndomain = \"here.test\"\n")
        .table("[[outbound.egress]]\nname = \"main\"\naddresses = [\"127.0.0.1\"]\n");
    let mut postern = setup.start();
    let plan = postern.order(&["dns", "plan", "here.test"]);
    for line in [
        "here.test. IN MX 10 postern.test.\n",
        "postern.test. IN A 127.0.0.1\n",
        "1.0.0.127.in-addr.arpa. IN PTR postern.test.\n",
        "here.test. IN TXT \"v=spf1 mx ip4:127.0.0.1 -all\"\n",
        "postern.test. IN TXT \"v=spf1 a -all\"\n",
        "_dmarc.here.test. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@here.test\"\n",
        "r._domainkey.here.test. IN TXT \"v=DKIM1; k=rsa; p=",
        "e._domainkey.here.test. IN TXT \"v=DKIM1; k=ed25519; p=",
    ] {
        assert!(plan.contains(line), "{line} in {plan}");
    }
    let (code, checked) = check(&postern);
    assert_eq!(code, Some(1));
    assert!(states(&checked).iter().all(|(_, state)| state == "missing"), "{checked}");
    // All of it, as the plan has it.
    for record in checked["records"].as_array().unwrap() {
        let (name, value) = (record["name"].as_str().unwrap(), record["value"].as_str().unwrap());
        match record["type"].as_str().unwrap() {
            "MX" => dns.mx(name, 10, "postern.test"),
            "A" => dns.address_of(name, value),
            "PTR" => dns.ptr("127.0.0.1", "postern.test"),
            _ => dns.txt_strings(name, &value.as_bytes().chunks(255).map(<[u8]>::to_vec).collect::<Vec<_>>()),
        };
    }
    let (code, checked) = check(&postern);
    assert!(states(&checked).iter().all(|(_, state)| state == "published"), "{checked}");
    assert_eq!(code, Some(0));
    // Another record that does the same is as good, and one that does not is not.
    dns.forget("here.test")
        .mx("here.test", 5, "else.test")
        .mx("here.test", 10, "postern.test")
        .txt("here.test", "v=spf1 ip4:127.0.0.0/8 ~all");
    dns.forget("_dmarc.here.test").txt("_dmarc.here.test", "v=DMARC1; p=reject");
    assert_eq!(check(&postern).0, Some(0));
    dns.forget("here.test").mx("here.test", 5, "else.test").txt("here.test", "v=spf1 ip4:192.0.2.1 -all");
    let (code, checked) = check(&postern);
    assert_eq!((state(&checked, "here.test MX").as_str(), state(&checked, "here.test TXT").as_str()), ("differs", "differs"));
    assert_eq!(code, Some(1));
    let said = text(&postern.run(&["dns", "check", "here.test"]));
    assert!(said.contains("5 else.test.") && said.contains("it says fail of mail from 127.0.0.1"), "{said}");
    dns.fails("here.test");
    assert_eq!(state(&check(&postern).1, "here.test MX"), "unknown", "who does not answer says nothing");
    assert_eq!(postern.run(&["dns", "plan", "far.test"]).status.code(), Some(3));
    // The same without a server.
    postern.terminate();
    let records = |plan: &str| -> Vec<String> { plan.lines().filter(|line| line.contains(" IN ")).map(str::to_owned).collect() };
    assert_eq!(records(&postern.order(&["dns", "plan", "here.test"])), records(&plan));
    assert!(postern.order(&["dkim", "show"]).contains("here.test"));
}
