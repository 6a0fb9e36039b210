//! Reports of runs: medians, marks, and that a page keeps what stands around the table.

use super::*;

#[test]
fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
    assert_eq!(Series::of([4.0, 1.0, 3.0, 100.0]).median().to_string(), "3.5");
    assert_eq!(Series::of([9.0, 1.0, 5.0]).median().to_string(), "5");
    assert!(Series::of([]).median().is_nan());
}

#[test]
fn a_figure_comes_with_its_spread() {
    assert_eq!(Series::of([1234.4, 999.0, 31_711.0]).show(), "**1,234** (999-31,711)");
    assert_eq!(Series::of([0.25]).show(), "**0.25**");
}

#[test]
fn numbers_keep_three_digits_that_count() {
    let shown: Vec<String> = [0.0123, 0.5, 4.25, 42.13, 537.0, 1_000_000.0].into_iter().map(number).collect();
    assert_eq!(shown, ["0.012", "0.50", "4.25", "42.1", "537", "1,000,000"]);
}

#[test]
fn a_goal_that_could_not_be_measured_is_neither_met_nor_missed() {
    assert_eq!(Goal::at_least(4.0, "times Postfix", 5.0).met(), Some(true));
    assert_eq!(Goal::at_most(0.4, "CPU seconds", 0.5).met(), Some(false));
    assert_eq!(Goal::at_least(4.0, "times Postfix", f64::NAN).met(), None);
}

#[test]
fn who_was_never_served_misses_the_goal_and_does_not_improve_the_median() {
    assert_eq!(Goal::at_most(3.0, "times the calm p99", f64::INFINITY).met(), Some(false));
    let waits = Series::of([4.0, f64::INFINITY, f64::INFINITY]);
    assert_eq!(waits.show(), "**∞** (4.00-∞)");
    assert_eq!(Series::of([f64::NAN, 4.0, 5.0, 6.0]).show(), "**5.00** (4.00-6.00)");
}

#[test]
fn a_page_keeps_the_tables_of_jobs_that_were_not_run() {
    let order = ["first", "second", "third"];
    let part = |job: &str, text: &str| format!("{}\n### {text}\n", mark(job));
    let page = merge("# Speed\n", &[("third", part("third", "c")), ("first", part("first", "old"))], &order);
    let page = merge(&page, &[("second", part("second", "b")), ("first", part("first", "new"))], &order);
    assert_eq!(
        page,
        format!("# Speed\n{BEGIN}\n{}\n{}\n{}{END}\n", part("first", "new"), part("second", "b"), part("third", "c"))
    );
    assert_eq!(merge(&page, &[], &order), page);
}

#[test]
fn words_around_the_tables_stay() {
    let page = format!("before\n{BEGIN}\nrubbish\n{END}\nafter\n");
    assert_eq!(merge(&page, &[], &[]), format!("before\n{BEGIN}\n{END}\nafter\n"));
}
