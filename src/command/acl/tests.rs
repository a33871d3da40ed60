//! Rules, what they are shown as, and what they allow; replies of Redis 7.2.6 to the same rules.

use super::*;
use crate::command::table;

fn user(rules: &str) -> User {
    let mut user = User::new(b"u", false);
    for op in merged(&words(rules)).expect("closed parentheses") {
        user.set(&op, false).expect(rules);
    }
    user
}

fn words(text: &str) -> Vec<&[u8]> {
    let words = text.split(' ').filter(|w| !w.is_empty());
    words.map(str::as_bytes).collect()
}

fn refusal(rules: &str) -> &'static str {
    let mut user = User::new(b"u", false);
    let ops = merged(&words(rules)).expect("closed parentheses");
    let failed = ops.iter().find_map(|op| user.set(op, false).err());
    failed.expect("a rule that is refused").text()
}

fn shown(rules: &str) -> String {
    String::from_utf8(user(rules).describe()).expect("text")
}

fn may(user: &User, request: &str) -> bool {
    let args = words(request);
    let spec = table::resolve(&args).expect("a command");
    user.check(spec, &args).is_ok()
}

#[test]
fn rules_are_shown_as_redis_shows_them() {
    for (rules, expected) in [
        ("", "off sanitize-payload resetchannels -@all"),
        (
            "on nopass ~* &* +@all",
            "on nopass sanitize-payload ~* &* +@all",
        ),
        (
            "allkeys allchannels allcommands",
            "off sanitize-payload ~* &* +@all",
        ),
        (
            "+@all -@dangerous +keys",
            "off sanitize-payload resetchannels +@all -@dangerous +keys",
        ),
        (
            "%R~a %W~b %RW~c ~d",
            "off sanitize-payload %R~a %W~b ~c ~d resetchannels -@all",
        ),
        ("%R~a %W~a", "off sanitize-payload ~a resetchannels -@all"),
        ("&a &b &a", "off sanitize-payload resetchannels &a &b -@all"),
        (
            "+config|get +CONFIG",
            "off sanitize-payload resetchannels -@all +config",
        ),
        (
            "+config +config|get",
            "off sanitize-payload resetchannels -@all +config +config|get",
        ),
        (
            "+select|0 +select|1",
            "off sanitize-payload resetchannels -@all +select|0 +select|1",
        ),
        (
            "+get +@read -get",
            "off sanitize-payload resetchannels -@all +@read -get",
        ),
        (
            "skip-sanitize-payload (~a +get) (%R~b +@read &c)",
            "off skip-sanitize-payload resetchannels -@all (~a resetchannels -@all +get) (%R~b resetchannels &c -@all +@read)",
        ),
        (
            "(~a +get) clearselectors",
            "off sanitize-payload resetchannels -@all",
        ),
        (
            "on nopass ~a +get reset",
            "off sanitize-payload resetchannels -@all",
        ),
    ] {
        assert_eq!(shown(rules), expected, "{rules}");
    }
}

#[test]
fn rules_that_are_refused() {
    for (rules, expected) in [
        ("+foo", "Unknown command or category name in ACL"),
        ("-config|foo", "Unknown command or category name in ACL"),
        ("-select|0", "Unknown command or category name in ACL"),
        ("+@foo", "Unknown command or category name in ACL"),
        (
            "+config|get|x",
            "Allowing first-arg of a subcommand is not supported",
        ),
        ("+debug|", "Syntax error"),
        ("foo", "Syntax error"),
        ("%~a", "Syntax error"),
        ("%RR~a", "Syntax error"),
        ("%R", "Syntax error"),
        (
            "<x",
            "The password you are trying to remove from the user does not exist",
        ),
        (
            "#12",
            "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters",
        ),
        ("(~a (+get))", "Syntax error"),
    ] {
        assert_eq!(refusal(rules), expected, "{rules}");
    }
    assert!(
        refusal("~* ~a")
            .starts_with("Adding a pattern after the * pattern (or the 'allkeys' flag)")
    );
    assert!(
        refusal("&* &a")
            .starts_with("Adding a pattern after the * pattern (or the 'allchannels' flag)")
    );
    let open = merged(&words("on (~a +get")).expect_err("is not closed");
    assert_eq!(
        open.as_str(),
        "ERR Unmatched parenthesis in acl selector starting at '(~a'."
    );
}

#[test]
fn commands_and_subcommands() {
    let u = user("+@all -config +config|get -@string +get allkeys");
    for (request, expected) in [
        ("config get x", true),
        ("config set x y", false),
        ("get k", true),
        ("set k v", false),
        ("lpush k v", true),
    ] {
        assert_eq!(may(&u, request), expected, "{request}");
    }
    let u = user("+select|3 +acl allkeys");
    assert!(may(&u, "select 3") && !may(&u, "select 4") && may(&u, "acl setuser x"));
    assert!(may(&u, "auth x"), "who cannot log in cannot be helped");
}

#[test]
fn keys_and_what_is_done_with_them() {
    let u = user("+@all %R~r* %W~w* ~b*");
    for (request, expected) in [
        ("get r1", true),
        ("get w1", false),
        ("set w1 v", true),
        ("set r1 v", false),
        ("set b1 v get", true),
        ("set w1 v get", false),
        ("copy r1 w1", true),
        ("copy w1 r1", false),
        ("exists w1", true),
        ("strlen w1", true),
        ("del r1", false),
        ("mget r1 b1", true),
        ("mget r1 x", false),
        ("ping", true),
        ("eval x 1 r1", false),
    ] {
        assert_eq!(may(&u, request), expected, "{request}");
    }
}

#[test]
fn selectors_are_not_mixed() {
    let u = user("(+get ~a) (+set ~b)");
    assert!(may(&u, "get a") && may(&u, "set b v"));
    assert!(!may(&u, "get b") && !may(&u, "set a v"));
    let args = words("get b");
    let spec = table::resolve(&args).unwrap();
    let denied = u.check(spec, &args).unwrap_err();
    assert_eq!(
        denied,
        Denied {
            why: Why::Key,
            at: 1
        }
    );
    assert_eq!(
        denied.details(b"u", spec, &args),
        b"User u has no permissions to access the 'b' key"
    );
    assert_eq!(denied.message(b"u", spec), "No permissions to access a key");
}

#[test]
fn channels() {
    let u = user("+@all &news.*");
    assert!(may(&u, "publish news.a x") && may(&u, "subscribe news.a news.b"));
    assert!(!may(&u, "subscribe news.a x") && !may(&u, "spublish x y"));
    assert!(may(&u, "psubscribe news.*"), "literally");
    assert!(!may(&u, "psubscribe news.a*"));
    assert!(may(&u, "unsubscribe x"), "needs no permission");
    assert!(user("&a &b").lost_channels(&user("&a &b &c")));
    assert!(!user("&a &b").lost_channels(&user("&a")));
    assert!(!user("&*").lost_channels(&user("&a")));
    assert!(user("&a").lost_channels(&user("&*")));
}

#[test]
fn what_is_stored_reads_as_it_was() {
    let rules = [
        "on >a >b ~a* %R~b +@all -@admin &c (~x +get) (+set %RW~* &*)",
        "nopass +select|0 +select|A -@connection +select|2 +@read -get|x",
        "%RW~* ~a",
        "+config|get +config -config|set +@all -debug",
    ];
    for rules in rules {
        let mut user = User::new(b"u", true);
        for op in merged(&words(rules)).unwrap() {
            let _ = user.set(&op, true);
        }
        let row = user.row().expect("can be stored");
        let read = User::parse(b"u", &row, &Operator::default()).unwrap();
        assert_eq!(read, user, "{rules}");
    }
    // Its selector would end at the pattern's parenthesis once it is written down.
    assert!(user("on").row().is_ok());
    let mut odd = user("on");
    odd.set(b"(~a) +get)", false).unwrap();
    assert_eq!(odd.row(), Err(RuleError::Syntax));
}

#[test]
fn the_configured_password_follows_the_configuration() {
    let (one, two, none) = (
        Operator::new(b"one"),
        Operator::new(b"two"),
        Operator::new(b""),
    );
    let mut user = User::default_user(&one);
    assert!(user.admits(b"one") && !user.admits(b"two") && user.unrestricted());
    user.set(b">own", false).unwrap();
    user.set(b"-@dangerous", false).unwrap();
    let row = user.row().unwrap();
    let later = User::parse(b"default", &row, &two).unwrap();
    assert!(later.admits(b"two") && later.admits(b"own") && !later.admits(b"one"));
    assert!(!later.unrestricted());
    user.set(b"resetpass", false).unwrap();
    user.set(b">own", false).unwrap();
    let later = User::parse(b"default", &user.row().unwrap(), &two).unwrap();
    assert!(later.admits(b"own") && !later.admits(b"two"));
    // Without a configured password `default` needs none, until it is given one.
    let mut open = User::default_user(&none);
    assert!(open.admits(b"whatever"));
    open.set(b"-keys", false).unwrap();
    let row = open.row().unwrap();
    assert!(User::parse(b"default", &row, &none).unwrap().no_password);
    assert!(!User::parse(b"default", &row, &one).unwrap().admits(b"x"));
    open.set(b">own", false).unwrap();
    assert!(
        !User::parse(b"default", &open.row().unwrap(), &none)
            .unwrap()
            .admits(b"x")
    );
}

#[test]
fn a_row_that_cannot_be_read_is_a_user_without_rights() {
    assert!(
        User::parse(
            b"u",
            b"on nopass +@all -nosuchcommand",
            &Operator::default()
        )
        .is_err()
    );
}
