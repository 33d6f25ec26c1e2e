use super::*;

fn fault(text: &str) -> String {
    Scenario::parse("mine", text).unwrap_err().to_string()
}

#[test]
fn what_scenarios_do_not_have_is_named_with_its_line_and_with_what_they_have() {
    let unknown = fault("summary = \"x\"\n[[event]]\nat_ms = 1\naction = \"explode\"\n");
    assert!(
        unknown.contains("line 4") && unknown.contains("`explode`") && unknown.contains("`kill`, `silence`"),
        "{unknown}"
    );
    let unknown = fault("summary = \"x\"\nspeed = 3\n");
    assert!(unknown.contains("line 2") && unknown.contains("`speed`"), "{unknown}");
    assert!(fault("[[event]]\nat_ms = 1\naction = \"kill\"\n").contains("`summary`"));
    assert!(fault("summary = \"x\"\n[[event]]\naction = \"kill\"\n").contains("`at_ms`"));
}

fn event(rest: &str) -> String {
    format!("summary = \"x\"\nspares = 1\n[[event]]\nat_ms = 5\n{rest}\n")
}

#[test]
fn events_are_in_the_order_of_time() {
    let event = |at_ms: u32, action: &str| format!("[[event]]\nat_ms = {at_ms}\naction = \"{action}\"\n");
    let text = |events: &[String]| format!("summary = \"x\"\n{}", events.concat());
    let disorder = fault(&text(&[event(5, "kill"), event(7, "silence"), event(6, "silence")]));
    assert!(disorder.contains("event 3"), "{disorder}");
    assert!(Scenario::parse("mine", &text(&[event(5, "kill"), event(5, "silence")])).is_ok());
}

#[test]
fn an_action_has_what_it_needs_and_befalls_whom_it_can() {
    for (text, told) in [
        ("action = \"lose\"\non = \"client\"", "`percent`"),
        ("action = \"lose\"\non = \"client\"\npercent = 0", "1 to 99"),
        ("action = \"lose\"\npercent = 3", "on `client` there are"),
        ("action = \"terminate\"\non = \"client\"", "on `client` there are"),
        ("action = \"silence\"\non = \"monitor\"", "on `monitor` there are"),
        ("action = \"slow\"", "`call_ms`"),
        ("action = \"kill\"\npercent = 3", "no `pod`"),
        ("action = \"succeed\"\npod = 6", "no pod 6"),
        ("action = \"kill\"\non = 6", "no pod 6"),
        ("action = \"kill\"\nevery_ms = 3", "go together"),
        ("action = \"drop-neighbour\"", "`neighbour = true`"),
    ] {
        let fault = fault(&event(text));
        assert!(fault.starts_with("event 1 (`") && fault.contains(told), "{fault}");
    }
    assert!(fault(&event("action = \"kill\"\non = \"clint\"")).contains("line 6"));
    assert!(fault("summary = \"x\"\nspares = 101\n").contains("at most 100"));
    assert!(fault("summary = \"x\"\nseconds = 0\n").contains("1 to 3600"));
    assert!(fault("summary = \"x\"\nwith = [\"tonic\", \"toni\"]\n").contains("`with`: the clients are obit"));
    assert!(fault("summary = \"x\"\nwith = \"all\"\n").contains("`with` is \"everyone\" or a list"));
}

#[test]
fn an_event_that_repeats_is_among_the_others_in_the_order_of_time() {
    let text = "summary = \"x\"\n\
        [[event]]\nat_ms = 10\naction = \"kill\"\nevery_ms = 10\ntimes = 2\n\
        [[event]]\nat_ms = 15\naction = \"start\"\non = 4\nevery_ms = 10\ntimes = 2\n";
    let scenario = Scenario::parse("mine", text).unwrap();
    let events: Vec<_> = scenario
        .events
        .iter()
        .map(|event| (event.at.as_millis(), event.on, event.action))
        .collect();
    assert_eq!(
        events,
        [
            (10, Target::Victim, Action::Kill),
            (15, Target::Pod(4), Action::Start),
            (20, Target::Victim, Action::Kill),
            (25, Target::Pod(4), Action::Start),
        ]
    );
    assert_eq!(scenario.requests, 200);
}

#[test]
fn a_variant_has_the_script_of_the_other_and_its_own_calls() {
    let scale = builtin("scale").unwrap();
    let variant = Scenario::parse("mine", "summary = \"x\"\nlike = \"scale\"\ncalls = \"bidi\"\n").unwrap();
    assert_eq!((variant.name.as_str(), variant.calls), ("mine", Calls::Bidi));
    assert_eq!(
        (&variant.events, variant.spares, variant.requests),
        (&scale.events, scale.spares, scale.requests)
    );
    let fewer = Scenario::parse("mine", "summary = \"x\"\nlike = \"kill-bidi\"\nrequests = 7\n").unwrap();
    assert_eq!((fewer.calls, fewer.requests), (Calls::Bidi, 7));
}

#[test]
fn a_variant_of_nothing_and_one_that_has_more_than_the_other_are_told_so() {
    assert!(fault("summary = \"x\"\nlike = \"explode\"\n").contains("\"explode\" is none"));
    for more in [
        "spares = 1",
        "neighbour = true",
        "[[event]]\nat_ms = 1\naction = \"kill\"",
    ] {
        let told = fault(&format!("summary = \"x\"\nlike = \"kill\"\n{more}\n"));
        assert!(told.contains("no `spares`"), "{told}");
    }
    let unknown = fault("summary = \"x\"\ncalls = \"duplex\"\n");
    assert!(
        unknown.contains("line 2") && unknown.contains("`client-stream`"),
        "{unknown}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load(Path::new("/nowhere/mine.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/mine.toml: "), "{error}");
}
