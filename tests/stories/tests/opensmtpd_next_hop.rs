//! Mail to OpenSMTPD, which offers no PIPELINING, and from there to where it ends.

use postern_testkit::peers::OpenSmtpd;

use crate::prelude::*;

#[test]
fn mail_goes_through_opensmtpd() {
    require!(OpenSmtpd::here());
    let sink = Sink::start();
    let opensmtpd = OpenSmtpd::start(sink.address());
    let postern = with_alice(Setup::new().route(&["*"], opensmtpd.address().port()));
    for number in 0..10 {
        from_alice(&postern, "carol@elsewhere.test", &format!("through {number}"));
    }
    let received = sink.wait_for(10);
    assert!(received.iter().all(|received| received.from.starts_with("<alice@here.test>")), "{received:?}");
}
