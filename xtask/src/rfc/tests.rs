//! The page of standards: what counts as a mention, and how it is printed.

use super::*;

fn told(comment: &str) -> Vec<(u32, String, How, String)> {
    mentions_in(comment)
        .into_iter()
        .map(|m| (m.rfc, m.section, m.how, if m.point.is_empty() { m.led_in } else { m.point }))
        .collect()
}

fn one(comment: &str) -> (u32, String, How, String) {
    let mut all = told(comment);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn a_mention_is_a_number_a_section_a_manner_and_one_sentence() {
    assert_eq!(one("RFC 5321 §4.1.4: no nesting. More words."), (5321, "4.1.4".into(), How::Kept, "no nesting".into()));
    assert_eq!(one("RFC 1 §2 DEPARTS: because."), (1, "2".into(), How::Departs, "because".into()));
    assert_eq!(one("RFC 1 §2 TODO: later."), (1, "2".into(), How::Missing, "later".into()));
    assert_eq!(one("see RFC 5321 §4.1. And more"), (5321, "4.1".into(), How::Kept, "see".into()));
}

#[test]
fn without_a_colon_the_words_before_it_are_the_point() {
    assert_eq!(one("First. SIZE= in octets (RFC 1870 §6).").3, "SIZE= in octets");
    assert_eq!(one("# A pipelined QUIT.  RFC 5321 §4.1.1.10").3, "# A pipelined QUIT");
    assert_eq!(one("(a, see RFC 1 §2)").3, "", "an open parenthesis is no sentence");
}

#[test]
fn several_sections_and_several_standards_share_a_point() {
    let both = told("RFC 3461 §4.1, §4.2: asked for");
    assert_eq!(both.iter().map(|m| m.1.as_str()).collect::<Vec<_>>(), ["4.1", "4.2"]);
    assert!(both.iter().all(|m| m.3 == "asked for"));
    let chained = told("RFC 1 §2, RFC 3 §4, §5: the point.");
    assert_eq!(chained.len(), 3);
    assert!(chained.iter().all(|m| m.3 == "the point"), "{chained:?}");
    let apart = told("RFC 1 §2: one. RFC 3 §4: two.");
    assert_eq!(apart.iter().map(|m| m.3.as_str()).collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn what_a_cut_leaves_open_is_cut_off_too() {
    assert_eq!(one("RFC 1 §2: done here (or there. Not").3, "done here");
    assert_eq!(told("RFC 1 §2: done (RFC 3 §4)").first().unwrap().3, "done");
    assert_eq!(one("(RFC 1 §2: the limit) and more").3, "the limit");
}

#[test]
fn a_number_without_a_section_is_no_mention() {
    assert!(told("RFC 5321 says so, and RFC x §1 too.").is_empty());
}

#[test]
fn comment_lines_are_joined_and_attributes_are_none() {
    let source = "//! RFC 1 §2: one\n//! two.\n\n#[key(why = \"RFC 9 §9\")]\n/// first\n///\n/// second\nlet x = 1; // not\n";
    assert_eq!(comments(source), ["RFC 1 §2: one two.", "first", "second"]);
}

#[test]
fn the_page_sorts_sections_as_numbers_and_says_nothing_twice() {
    let mut found: BTreeMap<u32, Rows> = BTreeMap::new();
    let rows = found.entry(5321).or_default();
    for (comment, file) in [
        ("RFC 5321 §4.10: late", "a/src/x.rs"),
        ("RFC 5321 §4.2: early", "a/src/y.rs"),
        ("RFC 5321 §4.2: early", "a/src/z.rs"),
        ("RFC 5321 §4.2 DEPARTS: a | b", "a/src/z.rs"),
    ] {
        for mention in mentions_in(comment) {
            let row = rows.entry((by_number(&mention.section), mention.section.clone())).or_default();
            row.entry(mention.how).or_default().add(mention, file);
        }
    }
    let page = page(&found);
    let body = page.split("## RFC 5321").nth(1).unwrap();
    assert!(body.contains(
        "| 4.2 | kept | early | `a/src/y.rs`, `a/src/z.rs` |\n| 4.2 | **departs** | a \\| b | `a/src/z.rs` |\n| 4.10 | kept | late |"
    ));
    assert!(page.contains("| [5321](#rfc-5321) | Simple Mail Transfer Protocol | 2 | 1 | 0 |"));
    assert!(page.contains("## RFC 6409\n\nMessage Submission for Mail\n\nmissing: no place in the code names it."));
}

#[test]
fn many_transcripts_are_counted() {
    let mut row = Row::default();
    for name in ["a", "b", "c"] {
        row.files.insert(format!("flow/2-session/transcripts/{name}.smtp"));
    }
    row.files.insert("flow/2-session/src/data.rs".to_owned());
    assert_eq!(row.places(), "`flow/2-session/src/data.rs`, 3 transcripts");
}
