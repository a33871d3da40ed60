//! Connections while a script takes long: BUSY, the commands that are answered, and its end.

use std::sync::atomic::Ordering::SeqCst;

use super::tests::{World, line, run, send};

/// A leader whose scripts make others BUSY at once, with one that runs without end.
async fn world(script: &str) -> World {
    let world = World::new(false);
    world.lead(1, 1);
    world.server.live.busy_after_ms.store(1, SeqCst);
    let mut caller = world.client();
    send(&mut caller, script).await;
    while world.server.scripts.running().is_none() {
        tokio::task::yield_now().await;
    }
    world.callers.lock().push(caller);
    world
}

async fn ask(world: &World, requests: &str, replies: &[&str]) {
    let mut client = world.client();
    send(&mut client, requests).await;
    for reply in replies {
        let got = line(&mut client).await;
        assert!(got.starts_with(reply), "{requests}: {got}");
    }
}

const BUSY: &str =
    "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

#[test]
fn others_are_told_and_the_script_is_killed() {
    run(async {
        let world = world("EVAL \"while true do end\" 0\r\nPING\r\n").await;
        ask(
            &world,
            "PING\r\nGET k\r\nNOSUCH\r\n",
            &[BUSY, BUSY, "-ERR unknown command"],
        )
        .await;
        ask(
            &world,
            "MULTI\r\nGET k\r\nEXEC\r\n",
            &["+OK", BUSY, "-EXECABORT"],
        )
        .await;
        ask(&world, "FUNCTION KILL\r\nFUNCTION STATS\r\n", &[BUSY, BUSY]).await;
        ask(&world, "SCRIPT KILL\r\n", &["+OK"]).await;
        // The script itself was kept for EVALSHA: its reply waits for that.
        let kept = world.proposal().await;
        world.apply(2, &kept);
        let mut caller = world.callers.lock().remove(0);
        let first = line(&mut caller).await;
        assert!(
            first.starts_with("-ERR Script killed by user with SCRIPT KILL... script: "),
            "{first}"
        );
        assert_eq!(line(&mut caller).await, "+PONG");
        ask(&world, "PING\r\nSCRIPT KILL\r\n", &["+PONG", "-NOTBUSY"]).await;
    });
}

#[test]
fn one_that_has_written_is_not_killed() {
    run(async {
        let script = "EVAL \"redis.call('set', 'k', 1) while true do end\" 0\r\n";
        let world = world(script).await;
        ask(
            &world,
            "SCRIPT KILL\r\nGET k\r\n",
            &["-UNKILLABLE Sorry the script already executed", BUSY],
        )
        .await;
        // What ends it is that this node leads no more: then all of it is undone.
        world.server.engine.end_script();
        let mut core = world.server.engine.locked().await;
        core.end_epoch();
        assert_eq!(core.ks.len(), 0);
    });
}
