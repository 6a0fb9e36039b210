//! An aggregate report as XML. Promise: it is well-formed whatever the names in it are, and its elements stand in the order of RFC 9990.

use crate::aggregate::{Aggregate, Policy, Record};

/// RFC 9990 §3.1.1: the namespace of reports.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:dmarc-2.0";

struct Xml {
    out: String,
    depth: usize,
}

impl Xml {
    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn within(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.line(&format!("<{name}>"));
        self.depth += 1;
        write(self);
        self.depth -= 1;
        self.line(&format!("</{name}>"));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.line(&format!("<{name}>{}</{name}>", escaped(text)));
    }

    fn maybe(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }
}

/// Characters that XML 1.0 does not know at all become `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// The whole document.
pub(crate) fn xml(report: &Aggregate) -> String {
    let mut xml = Xml { out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), depth: 0 };
    xml.line(&format!("<feedback xmlns=\"{NAMESPACE}\">"));
    xml.depth = 1;
    xml.text("version", "1.0");
    xml.within("report_metadata", |xml| {
        xml.text("org_name", &report.org_name);
        xml.text("email", &report.email);
        xml.maybe("extra_contact_info", report.extra_contact_info.as_deref());
        xml.text("report_id", &report.report_id);
        xml.within("date_range", |xml| {
            xml.text("begin", &report.begin.to_string());
            xml.text("end", &report.end.to_string());
        });
        // RFC 9990 §3.1.1.3: there is one such element at most, whatever there is to say.
        let errors = report.errors.join("; ");
        xml.maybe("error", Some(errors.as_str()).filter(|text| !text.is_empty()));
        xml.maybe("generator", report.generator.as_deref());
    });
    policy(&mut xml, &report.policy);
    for one in &report.records {
        record(&mut xml, one);
    }
    xml.depth = 0;
    xml.line("</feedback>");
    xml.out
}

fn policy(xml: &mut Xml, policy: &Policy) {
    xml.within("policy_published", |xml| {
        xml.text("domain", &policy.domain);
        xml.maybe("discovery_method", policy.discovery.as_deref());
        xml.text("p", &policy.p);
        xml.maybe("sp", policy.sp.as_deref());
        xml.maybe("np", policy.np.as_deref());
        xml.maybe("fo", policy.fo.as_deref());
        xml.maybe("adkim", policy.adkim.as_deref());
        xml.maybe("aspf", policy.aspf.as_deref());
        xml.maybe("testing", policy.testing.as_deref());
    });
}

fn record(xml: &mut Xml, record: &Record) {
    xml.within("record", |xml| {
        xml.within("row", |xml| {
            xml.text("source_ip", &record.source.to_string());
            xml.text("count", &record.count.to_string());
            xml.within("policy_evaluated", |xml| {
                xml.text("disposition", &record.disposition);
                xml.text("dkim", &record.dkim);
                xml.text("spf", &record.spf);
                for reason in &record.reasons {
                    xml.within("reason", |xml| {
                        xml.text("type", &reason.kind);
                        xml.maybe("comment", reason.comment.as_deref());
                    });
                }
            });
        });
        xml.within("identifiers", |xml| {
            xml.text("header_from", &record.header_from);
            xml.maybe("envelope_from", record.envelope_from.as_deref());
            xml.maybe("envelope_to", record.envelope_to.as_deref());
        });
        xml.within("auth_results", |xml| {
            for dkim in &record.dkim_results {
                xml.within("dkim", |xml| {
                    xml.text("domain", &dkim.domain);
                    xml.text("selector", &dkim.selector);
                    xml.text("result", &dkim.result);
                });
            }
            for spf in &record.spf_results {
                xml.within("spf", |xml| {
                    xml.text("domain", &spf.domain);
                    xml.text("scope", "mfrom");
                    xml.text("result", &spf.result);
                });
            }
        });
    });
}
