//! Rules that span keys: each mistake is found, and is told in words with what would be right.

use crate::{Machine, load};

fn errors(text: &str) -> String {
    let machine = Machine::named("mx.example.org");
    let errors = load(text, "f", &machine).err().unwrap_or_default();
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn warnings(text: &str) -> String {
    let machine = Machine::named("mx.example.org");
    let config = load(text, "f", &machine).unwrap_or_else(|errors| panic!("{errors:#?}"));
    config.warnings().iter().map(|warning| format!("{warning}\n")).collect()
}

/// One error, at this place, with these words in it.
#[track_caller]
fn one_error(text: &str, place: &str, words: &str) {
    let found = errors(text);
    assert!(found.lines().count() == 1 && found.starts_with(place) && found.contains(words), "{text}\n{found}");
}

#[track_caller]
fn one_warning(text: &str, place: &str, words: &str) {
    let found = warnings(text);
    assert!(found.lines().count() == 1 && found.starts_with(place) && found.contains(words), "{text}\n{found}");
}

const ORG: &str = "[[domain]]\nname = \"example.org\"\nrecipients = [\"alice\"]\n";

#[test]
fn a_certificate_without_its_key_is_an_error() {
    one_error("[tls]\ncertificate = \"/c.pem\"", "f:2:15: tls.certificate", "set both, or neither");
    one_error("[tls]\nkey = \"/k.pem\"", "f:2:7: tls.key", "set both, or neither");
}

#[test]
fn a_seal_has_a_domain_and_a_key_and_something_to_tell() {
    one_error("[arc]\ndomain = \"example.com\"", "f:2:10: arc.domain", "set both, or neither");
    one_error("[arc]\nkey = \"/k.pem\"", "f:2:7: arc.key", "set both, or neither");
    one_error("[arc]\nselector = \"a b\"", "f:2:12: arc.selector", "no name of DNS");
    let both = "[arc]\ndomain = \"example.com\"\nkey = \"/k.pem\"\n";
    assert_eq!(warnings(both), "");
    one_warning(&format!("{both}[policy.authenticity]\nenabled = false"), "f:3:7: warning: arc.key", "seals nothing");
}

#[test]
fn an_open_relay_is_an_error_in_every_spelling() {
    for all in ["\"0.0.0.0/0\"", "\"::/0\"", "\"0.0.0.0/1\", \"128.0.0.0/1\"", "\"::ffff:0.0.0.0/96\"", "\"::/1\", \"8000::/1\""]
    {
        one_error(&format!("[server]\nrelay_networks = [{all}]"), "f:2:18: server.relay_networks", "open relay");
    }
    let short = "[auth]\nunused_after = \"7d\"";
    one_error(short, "f:2:16: auth.unused_after", "notice (14d) must be shorter");
    assert_eq!(warnings("[auth]\nunused_after = \"0s\""), "", "never");
    one_warning("[server]\nrelay_networks = [\"10.0.0.0/7\"]", "f:2:19: warning: server.relay_networks[1]", "wider");
    assert_eq!(warnings("[server]\nrelay_networks = [\"10.0.0.0/8\", \"2001:db8::/32\"]"), "");
}

#[test]
fn trusting_everybody_is_a_warning() {
    one_warning("[server]\ntrusted_networks = [\"0.0.0.0/0\"]", "f:2:20", "everybody is trusted");
}

#[test]
fn a_proxy_header_from_everybody_is_an_error() {
    let text = "[[listener]]\nkind = \"mx\"\nbind = [\"127.0.0.1:0\"]\nproxy_protocol_from = [\"0.0.0.0/0\"]";
    one_error(text, "f:4:23: listener[1].proxy_protocol_from", "name your proxies");
}

fn listener(kind: &str, bind: &str) -> String {
    format!("[[listener]]\nkind = \"{kind}\"\nbind = [{bind}]\n")
}

#[test]
fn an_address_is_bound_once() {
    let twice = listener("mx", "\"127.0.0.1:25\"") + &listener("submission", "\"127.0.0.1:25\"");
    one_error(&twice, "f:6:9: listener[2].bind[1]", "already taken by listener[1].bind[1] (line 3)");
    let wildcard = listener("mx", "\"0.0.0.0:25\", \"[::]:25\"") + &listener("submission", "\"[::1]:25\"");
    one_error(&wildcard, "f:6:9: listener[2].bind[1]", "already taken by listener[1].bind[2]");
    let http = listener("mx", "\"127.0.0.1:8025\"");
    assert!(errors(&http).contains("127.0.0.1:8025 is already taken"), "{}", errors(&http));
    let free = listener("mx", "\"127.0.0.1:0\", \"127.0.0.1:0\"") + &listener("mx", "\"0.0.0.0:25\", \"[::]:25\"");
    assert_eq!(errors(&free), "");
    one_error(&listener("mx", ""), "f:3:8: listener[1].bind", "without addresses");
}

#[test]
fn a_domain_is_there_once() {
    one_error(&format!("{ORG}{ORG}"), "f:5:8: domain[2].name", "is there already (line 2)");
}

#[test]
fn mail_that_would_come_back_to_this_server_is_an_error() {
    let ours = listener("mx", "\"0.0.0.0:2525\"");
    for host in ["127.0.0.1", "localhost", "mx.example.org", "0.0.0.0"] {
        let route = format!("{ours}[[route]]\nto = [\"*\"]\nhost = \"{host}\"\nport = 2525\n");
        one_error(&route, "f:4:1: route[1]", "this server itself");
    }
    let elsewhere = format!("{ours}[[route]]\nto = [\"*\"]\nhost = \"127.0.0.1\"\nport = 2526\n");
    assert_eq!(errors(&elsewhere), "");
    one_error(
        &format!("{ORG}deliver = {{ kind = \"relay\", host = \"127.0.0.1\", port = 2525 }}"),
        "f:4:11",
        "this server itself",
    );
    one_error(&format!("{ORG}deliver = {{ kind = \"lmtp\", address = \"localhost:2525\" }}"), "f:4:11", "takes no LMTP");
}

#[test]
fn a_pattern_has_one_route() {
    let route = "[[route]]\nto = [\"a.example\", \"*\"]\nhost = \"h.example\"\n";
    let found = errors(&format!("{route}{route}"));
    assert!(found.starts_with("f:5:7: route[2].to[1]: a.example already has a route (line 2)"), "{found}");
    one_error("[[route]]\nto = []\nhost = \"h.example\"\n", "f:2:6: route[1].to", "a route for nothing");
}

#[test]
fn credentials_are_never_sent_in_clear() {
    let route = |tls: &str, host: &str| {
        let credentials = "credentials = { user = \"u\", password_file = \"/p\" }";
        format!("[[route]]\nto = [\"*\"]\nhost = \"{host}\"\ntls = \"{tls}\"\n{credentials}\n")
    };
    one_error(&route("none", "h.example"), "f:1:1: route[1]", "under TLS only");
    one_warning(&route("require", "h.example"), "f:1:1: warning: route[1]", "must prove its name");
    assert_eq!(warnings(&route("verify", "h.example")), "");
    assert_eq!(warnings(&route("opportunistic", "127.0.0.1")), "");
}

#[test]
fn an_alias_must_end_somewhere() {
    let aliases = |list: &str| format!("{ORG}aliases = {{ {list} }}\n");
    one_error(&aliases("info = [\"nobody@example.org\"]"), "f:4:20: domain[1].aliases.info", "nobody@example.org does not exist");
    one_error(&aliases("info = [\"info@example.org\"]"), "f:4:20", "leads back to itself");
    let circle = errors(&aliases("a = [\"b@example.org\"], b = [\"a@example.org\"]"));
    assert!(
        circle.lines().count() == 2 && circle.lines().all(|line| line.contains("back to itself and to nobody else")),
        "{circle}"
    );
    assert_eq!(errors(&aliases("a = [\"b@example.org\", \"alice@example.org\"], b = [\"a@example.org\"]")), "");
    one_warning(&aliases("alice = [\"bob@example.net\"]"), "f:4:21: warning: domain[1].aliases.alice", "gets nothing");
    assert_eq!(warnings(&aliases("alice = [\"Alice@example.org\", \"bob@example.net\"]")), "");
    let many: Vec<_> = (0..1500).map(|number| format!("\"u{number}@example.net\"")).collect();
    one_error(&aliases(&format!("all = [{}]", many.join(","))), "f:4:19", "mailing list");
}

#[test]
fn a_catch_all_must_end_somewhere() {
    one_error(&format!("{ORG}catch_all = \"bob@example.org\""), "f:4:13: domain[1].catch_all", "leads back to itself");
    assert_eq!(errors(&format!("{ORG}catch_all = \"bob@example.net\"")), "");
    let any = "[[domain]]\nname = \"example.org\"\nrecipients = \"any\"\ncatch_all = \"bob@example.org\"";
    one_warning(any, "f:4:13", "has no effect");
}

#[test]
fn with_nothing_leaving_the_machine_no_alias_may_lead_elsewhere() {
    let text = format!("[outbound]\nenabled = false\n{ORG}aliases = {{ info = [\"x@sink.test\"] }}\n");
    one_error(&text, "f:6:20: domain[1].aliases.info", "nothing leaves");
    assert_eq!(errors(&format!("{text}[[route]]\nto = [\"sink.test\"]\nhost = \"127.0.0.1\"\nport = 2626\n")), "");
}

#[test]
fn a_template_of_maildirs_is_anchored_and_knows_three_words() {
    let deliver = |path: &str| format!("{ORG}deliver = {{ kind = \"maildir\", path = \"{path}\" }}\n");
    for (path, words) in [
        ("mail/{local}", "must be absolute"),
        ("/var/mail/../{local}", "must not hold .."),
        ("/var/mail/{user}", "the words in braces"),
        ("/var/mail/{local", "the words in braces"),
        ("/var/mail/local}", "the words in braces"),
    ] {
        one_error(&deliver(path), "f:4:38: domain[1].deliver.path", words);
    }
    assert_eq!(errors(&deliver("{data_dir}/{domain}/{local}")), "");
    one_warning(&deliver("/var/mail/{domain}"), "f:4:11", "share one Maildir");
}

#[test]
fn domains_that_share_their_maildirs_are_a_warning() {
    let deliver = "deliver = { kind = \"maildir\", path = \"/var/mail/{local}\" }\n";
    let text = format!("{ORG}{deliver}[[domain]]\nname = \"example.net\"\nrecipients = \"any\"\n{deliver}");
    one_warning(&text, "f:8:11: warning: domain[2].deliver", "line 1");
}

#[test]
fn limits_that_contradict_each_other_are_told() {
    one_error("[outbound]\nretry = { first = \"5h\" }", "f:2:19: outbound.retry.first", "longer than the longest (4h)");
    one_error("[outbound]\nretry = { longest = \"1m\" }", "f:2:21: outbound.retry.longest", "the first wait (5m)");
    one_error("[outbound.lanes]\npause_first = \"1h\"", "f:2:15", "longer than the longest");
    one_error("[outbound.lanes]\nconnections_per_destination_max = 2", "f:2:35", "start with 5");
    one_error("[spool]\nsegment_size = \"2MiB\"", "f:2:16: spool.segment_size", "does not hold four groups");
    one_error("[spool]\nbody_inline_max = \"3MiB\"", "f:2:19: spool.body_inline_max", "does not hold four bodies");
    one_error("[spool]\nsegment_size = 70000001", "f:2:16: spool.segment_size", "no multiple of 4KiB");
    one_warning("[limits]\nrecipients_per_message = 50", "f:2:26", "RFC 5321 §4.5.3.1.8");
    one_warning("[limits]\nconnections = 10\nconnections_per_network = 20", "f:3:27", "never reached");
    one_warning("[limits]\nconnections = 10\nconnections_reserved = 6", "f:3:24", "only half of the connections (5)");
    one_warning("[limits]\nconnections = 10\nconnections_per_listener = 11", "f:3:28", "never reached");
    one_error("[limits]\nstress_until = 0.8", "f:2:16: limits.stress_until", "stress begins at 0.75");
    assert_eq!(warnings("[limits]\nconnections = 10"), "", "a default beside a small limit is no contradiction");
    one_warning("[outbound]\ndelay_warning_after = \"6d\"", "f:2:23", "never reached");
    let provider = |mx: &str| format!("[[outbound.provider]]\nname = \"p\"\nmx = [{mx}]\n");
    assert_eq!(errors(&provider("\"mx.p.example\", \"*.p.example\"")), "");
    one_error(&provider(""), "f:3:6: outbound.provider[1].mx", "is nobody");
    one_error(&provider("\"*.com\""), "f:3:6: outbound.provider[1].mx", "two labels");
    one_error(&provider("\"*.\""), "f:3:6: outbound.provider[1].mx", "two labels");
    one_error(&provider("\"mx.p.example.\""), "f:3:6: outbound.provider[1].mx", "neither a host's name");
    one_error(&provider("\"mx*.p.example\""), "f:3:6: outbound.provider[1].mx", "two labels");
    one_warning("[policy]\nhold_at = 12.0", "f:2:11", "never reached: refuse_at is 10.0");
}

#[test]
fn what_this_version_does_not_carry_out_is_refused_in_detail() {
    let egress = |list: &str| format!("[outbound]\negress = [{list}]\n");
    let one = "{ name = \"a\", addresses = [\"192.0.2.1\", \"2001:db8::1\"] }";
    assert_eq!(errors(&egress(one)), "");
    one_error(&egress(&format!("{one}, {one}")), "f:2:10: outbound.egress", "not in this version");
    one_error(&egress("{ name = \"a\", addresses = [\"192.0.2.1\", \"192.0.2.2\"] }"), "f:2:37", "not in this version");
    let ahead = "[[domain]]\nname = \"example.org\"\nrecipients = { call_ahead = true }";
    one_error(ahead, "f:3:14: domain[1].recipients", "neither lmtp nor relay");
    let relay = "\ndeliver = { kind = \"relay\", host = \"192.0.2.1\" }";
    assert_eq!(errors(&format!("{ahead}{relay}")), "");
    one_error(&format!("{ahead}{relay}\ncatch_all = \"a@example.org\""), "f:5:13: domain[1].catch_all", "call_ahead");
    one_error(&ahead.replace("true", "false"), "f:3:14: domain[1].recipients", "names nobody");
    one_error("[tls.acme]\ndirectory = \"x\"", "f:2:13: tls.acme.directory", "https://");
    let acme = "[tls.acme]\ndirectory = \"https://acme.example/directory\"\n";
    assert_eq!(errors(&format!("server.hostname = \"mx.example.org\"\n{acme}")), "");
    one_error(&format!("server.hostname = \"gate\"\n{acme}"), "f:2:1: tls.acme.domains", "no authority vouches for gate");
    one_error(&format!("{acme}[tls]\ncertificate = \"/c\"\nkey = \"/k\""), "f:1:1: tls.acme", "set one");
    one_error("[cluster]\n", "f:1:2: cluster", "not in this version");
}

#[test]
fn a_server_that_others_reach_is_looked_at_more_closely() {
    let named = |hostname: &str, rest: &str| format!("[server]\nhostname = \"{hostname}\"\n{rest}");
    one_warning(&named("gate", &listener("mx", "\"0.0.0.0:25\"")), "f:2:12: warning: server.hostname", "without a domain");
    one_warning(&listener("submission", "\"0.0.0.0:587\""), "f:2:8: warning: listener[1].kind", "self-signed");
    one_warning("[http]\nbind = [\"0.0.0.0:8025\"]", "f:2:8: warning: http.bind", "in clear");
}

#[test]
fn nobody_can_log_in_without_a_mechanism() {
    one_error("[auth]\nmechanisms = []", "f:2:14: auth.mechanisms", "nobody could log in");
    one_error("[auth]\nmechanisms = [\"PLAIN\", \"PLAIN\"]", "f:2:24: auth.mechanisms[2]", "named twice");
}

#[test]
fn an_error_in_a_value_causes_no_errors_in_rules_that_look_at_it() {
    one_error("[tls]\ncertificate = 1\nkey = \"/k.pem\"", "f:2:15: tls.certificate", "written as a string");
    one_error("[outbound.retry]\nfirst = \"5h\"\nlongest = \"x\"", "f:3:11: outbound.retry.longest", "not a duration");
    // A rule that looks elsewhere still runs.
    let both = errors("[tls]\nkey = \"/k.pem\"\n[limits]\nconnections = \"many\"");
    assert_eq!(both.lines().count(), 2, "{both}");
}

#[test]
fn routes_to_one_host_and_port_agree_about_tls() {
    let routes = |first: &str, second: &str| {
        let route = |to: &str, keys: &str| format!("[[route]]\nto = [\"{to}\"]\nhost = \"192.0.2.1\"\n{keys}\n");
        format!("{}{}", route("a.example", first), route("b.example", second))
    };
    one_error(&routes("", "tls = \"require\""), "f:5:1: route[2]", "on line 1 has other tls or credentials");
    assert_eq!(errors(&routes("tls = \"require\"", "tls = \"require\"")), "");
    assert_eq!(errors(&routes("", "port = 26\ntls = \"require\"")), "");
}

fn list(keys: &str) -> String {
    format!("[[policy.list]]\nfile = \"/l\"\n{keys}\n")
}

#[test]
fn a_list_says_what_it_does_once_and_is_there_once() {
    assert_eq!(errors(&list("")), "");
    assert_eq!(errors(&list("action = \"allow\"\nformat = \"rbldnsd\"\nlisteners = [\"mx\", \"submissions\"]")), "");
    one_error(&list("action = \"score\""), "f:3:10: policy.list[1].action", "needs points");
    one_error(&list("action = \"block\"\npoints = 3"), "f:4:10: policy.list[1].points", "only a list that scores");
    one_error(&list("points = 1000"), "f:3:10: policy.list[1].points", "out of range");
    one_error(&list("listeners = []"), "f:3:13: policy.list[1].listeners", "looked at nowhere");
    one_error(&list("format = \"csv\""), "f:3:10: policy.list[1].format", "none of \"text\", \"drop\", \"rbldnsd\"");
    one_error(&(list("") + &list("")), "f:5:8: policy.list[2].file", "already (line 2)");
    one_error("[[policy.list]]\naction = \"block\"", "f:1:1: policy.list[1].file", "missing");
    assert_eq!(errors(&list("of = \"domain\"\nformat = \"rbldnsd\"\npoints = 4.5")), "");
    one_error(&list("of = \"sender\"\nformat = \"drop\""), "f:4:10: policy.list[1].format", "no names");
    one_error(&list("of = \"mail\""), "f:3:6: policy.list[1].of", "none of \"helo\", \"ptr\"");
    let unread = |key: &str, of: &str| format!("[policy]\n{key} = {{ enabled = false }}\n{}", list(&format!("of = {of:?}")));
    one_warning(&unread("links", "link"), "f:5:6: warning: policy.list[1].of", "links are not looked at");
    one_warning(&unread("authenticity", "ptr"), "f:5:6: warning: policy.list[1].of", "names of clients are not looked up");
}

#[test]
fn what_was_set_up_for_tokens_and_certificates_must_be_offered_and_whole() {
    let one_error = |text: &str, place: &str, words: &str| {
        let found = errors(text);
        assert!(found.lines().count() == 1 && found.contains(place) && found.contains(words), "{text}\n{found}");
    };
    let issuer = "{ issuer = \"https://id.example\", audience = \"postern\" }";
    let of = |name: &str| format!("{{ issuer = \"{name}\", audience = \"postern\", domains = [\"a.example\"] }}");
    let (one, other) = (of("https://id.example"), of("https://other.example"));
    one_error(&format!("[auth]\noidc = [{one}, {one}]"), "auth.oidc[2].issuer", "named twice");
    one_error(&format!("[auth]\noidc = [{other}, {issuer}]"), "auth.oidc[2].domains", "it speaks for");
    assert_eq!(errors(&format!("[auth]\noidc = [{one}, {other}]")), "");
    for nobody in ["\"OAUTHBEARER\", \"XOAUTH2\"", "\"EXTERNAL\""] {
        one_error(&format!("[auth]\nmechanisms = [{nobody}]"), "auth.mechanisms", "nobody could log in");
    }
    assert_eq!(errors(&format!("[auth]\nmechanisms = [\"XOAUTH2\"]\noidc = [{issuer}]")), "");
    one_error("[auth]\noidc = [{ issuer = \"https://id.example\", audience = \"\" }]", "auth.oidc[1].audience", "every token");
    one_error(&format!("[auth]\nmechanisms = [\"PLAIN\"]\noidc = [{issuer}]"), "auth.oidc", "OAUTHBEARER");
    one_error("[auth]\noidc = [{ issuer = \"http://id.example\", audience = \"a\" }]", "auth.oidc[1].issuer", "https://");
    one_error(
        "[auth]\noidc = [{ issuer = \"https://u@id.example/?q\", audience = \"a\" }]",
        "auth.oidc[1].issuer",
        "without user",
    );
    one_error("[auth]\nmechanisms = [\"PLAIN\"]\n[tls]\nclient_ca = \"ca.pem\"", "tls.client_ca", "EXTERNAL");
}

#[test]
fn a_filter_that_would_never_be_asked_is_an_error() {
    let milters = |many: u16, mode: &str| -> String {
        (1..=many).map(|port| format!("[[policy.milter]]\naddress = \"127.0.0.1:{port}\"\nmode = \"{mode}\"\n")).collect()
    };
    let clamav = "[[policy.clamav]]\naddress = \"127.0.0.1:3310\"\n";
    assert_eq!(errors(&format!("{}{}{clamav}", milters(15, "observe"), milters(5, "off"))), "");
    one_error(&format!("{}{clamav}", milters(16, "enforce")), "f:46:", "policy.milter[16]: is one filter too many: 16 are asked");
}

#[test]
fn signatures_name_a_domain_once_and_cover_the_author_and_nothing_that_changes_on_the_way() {
    let with = |line: &str| format!("[[dkim]]\ndomain = \"a.test\"\n{line}");
    one_error(&with("[[dkim]]\ndomain = \"A.test\""), "f:4:10: dkim[2].domain", "there already (line 2)");
    one_error(&with("selector = \"a.b\""), "f:3:12: dkim[1].selector", "no label of DNS");
    one_error(&with("expires_after = \"1h\""), "f:3:17: dkim[1].expires_after", "shorter than mail waits");
    one_error(&with("headers = [\"To\"]"), "f:3:11: dkim[1].headers", "From is missing");
    one_error(&with("headers = [\"From\", \"received\"]"), "f:3:11: dkim[1].headers", "changed on the way");
    one_error(&with("headers = [\"From\", \"from\"]"), "f:3:11: dkim[1].headers", "there twice");
    one_error(&with("headers = [\"From\", \"a:b\"]"), "f:3:11: dkim[1].headers", "no name of a header field");
}

#[test]
fn the_nearest_domain_signs() {
    let text = "[[dkim]]\ndomain = \"a.test\"\n[[dkim]]\ndomain = \"b.a.test\"\n";
    let config = crate::load(text, "f", &crate::Machine::named("mx.example")).unwrap();
    let signs = |author: &str| config.dkim_for(&postern_mail::Mailbox::parse(author).unwrap()).map(|own| own.domain.to_string());
    assert_eq!(signs("x@a.test").as_deref(), Some("a.test"));
    assert_eq!(signs("x@c.b.a.test").as_deref(), Some("b.a.test"));
    assert_eq!(signs("x@ba.test"), None);
    assert_eq!(signs("x@[192.0.2.1]"), None);
}
