//! What a reader finds in good and bad tables.

use super::*;

fn root(text: &str) -> Section {
    Section::root(text.parse().unwrap())
}

/// Every problem that `read` finds in the text.
fn problems(text: &str, read: impl FnOnce(&mut Section, &mut Problems)) -> Vec<String> {
    let (mut section, mut problems) = (root(text), Problems::default());
    read(&mut section, &mut problems);
    section.finish(&mut problems);
    problems.into_vec().iter().map(ToString::to_string).collect()
}

#[test]
fn values_of_the_right_type_are_read() {
    let mut problems = Problems::default();
    let mut section = root(
        "text = 'a'\nnumber = 7\nflag = true\ntexts = ['a', 'b']\naddress = '127.0.0.1:80'\n[below]\nown = 'x'\n\
         [[many]]\nid = 1\n[[many]]\nid = 2\n",
    );
    assert_eq!(section.text("text", &mut problems).as_deref(), Some("a"));
    assert_eq!(section.number("number", &mut problems), Some(7));
    assert_eq!(section.flag("flag", &mut problems), Some(true));
    assert_eq!(section.texts("texts", &mut problems), ["a", "b"]);
    let address = section.address("address", None, "--address", &mut problems);
    assert_eq!(address.map(|address| address.port()), Some(80));
    assert_eq!(section.section("below", &mut problems).all_texts(&mut problems)["own"], "x");
    let ids =
        section.sections("many", &mut problems).into_iter().map(|mut one| one.number("id", &mut Problems::default()));
    assert_eq!(ids.collect::<Vec<_>>(), [Some(1), Some(2)]);
    section.finish(&mut problems);
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn what_is_absent_is_no_problem_unless_it_is_required() {
    let found = problems("", |section, problems| {
        assert!(section.text("a", problems).is_none() && section.number("b", problems).is_none());
        assert!(section.flag("c", problems).is_none() && section.texts("d", problems).is_empty());
        assert!(section.sections("e", problems).is_empty());
        section.section("f", problems).finish(problems);
        assert!(section.required_text("g", problems).is_none());
        assert!(section.address("h", None, "--h", problems).is_none());
    });
    assert_eq!(found, ["g: is missing", "h: is missing: set it in the file or with --h"]);
}

#[test]
fn a_wrong_type_is_named_with_what_it_is_and_what_it_should_be() {
    let found = problems(
        "a = 1\nb = 'x'\nc = -1\nd = 3\ne = [1]\nf = 'x'\ng = 1.5\nh = [7]\ni = ''\nj = 'nowhere'\n",
        |section, problems| {
            section.text("a", problems);
            section.number("b", problems);
            section.number("c", problems);
            section.flag("d", problems);
            section.texts("e", problems);
            section.section("f", problems).finish(problems);
            section.sections("g", problems);
            section.sections("h", problems);
            section.text("i", problems);
            section.address("j", None, "--j", problems);
        },
    );
    assert_eq!(
        found,
        [
            "a: must be a text, not a whole number",
            "b: must be a whole number, not a text",
            "c: must not be negative",
            "d: must be true or false, not a whole number",
            "e[0]: must be a text, not a whole number",
            "f: must be a table, not a text",
            "g: must be a list of tables, not a fraction",
            "h[0]: must be a table, not a whole number",
            "i: is empty",
            "j: \"nowhere\" is no address of this form: 127.0.0.1:7400",
        ]
    );
}

#[test]
fn a_key_that_nobody_asks_for_is_a_problem_with_its_whole_path() {
    let found = problems("known = 'x'\nstray = 1\n[below]\nstray = 1\n[many]\n", |section, problems| {
        section.text("known", problems);
        section.section("below", problems).finish(problems);
    });
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("below.stray: is no key"), "{found:?}");
}

#[test]
fn a_flag_wins_over_the_file_and_is_named_when_it_is_wrong() {
    let found = problems("address = '127.0.0.1:80'\n[log]\nformat = 'json'\n", |section, problems| {
        assert!(section.address("address", Some("nowhere"), "--address", problems).is_none());
        assert_eq!(read_log_format(section, Some("text"), problems), Some(Format::Text));
    });
    assert_eq!(found, ["--address: \"nowhere\" is no address of this form: 127.0.0.1:7400"]);
}

#[test]
fn certificates_are_relative_to_the_folder_of_the_file() {
    let mut problems = Problems::default();
    let mut section = root("[tls]\ncertificate = 'c.pem'\nkey = '/k.pem'\nca = 'ca.pem'\n");
    let files = read_tls(&mut section, Path::new("/etc/boss"), &mut problems).unwrap();
    assert_eq!(files.certificate, Path::new("/etc/boss/c.pem"));
    assert_eq!(files.key, Path::new("/k.pem"));
    let mut section = root("[tls]\nkey = 1\n");
    assert!(read_tls(&mut section, Path::new(""), &mut problems).is_none());
    let found: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["tls.certificate: is missing", "tls.key: must be a text, not a whole number", "tls.ca: is missing"]
    );
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_one_clear_problem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    fs::write(&file, "name = ").unwrap();
    let check = |path: Option<&Path>, at: &str, reason: &str| {
        let mut problems = Problems::default();
        assert!(read_file(path, &mut problems).is_none());
        let problems = problems.into_vec();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].at.contains(at) && problems[0].reason.contains(reason), "{problems:?}");
    };
    check(None, "--config", "is missing");
    check(Some(&file), "a.toml", "is not TOML");
    check(Some(Path::new("/no/such/file.toml")), "/no/such/file.toml", "cannot be read");
}
