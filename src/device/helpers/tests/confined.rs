//! Helpers behind bubblewrap's walls, where it is installed and works.

use std::os::unix::net::UnixListener;

use super::*;

/// A world with walls, or `None` where there are none to be had.
fn walled(time_limit: Duration) -> Option<World> {
    let world = World::new(time_limit, Confinement::Auto);
    let has_walls = matches!(world.helpers.walls(), Walls::Bubblewrap(_));
    if !has_walls {
        let must_be = std::env::var_os("LOMIRI_PUSH_REQUIRE_TOOLS").is_some();
        assert!(!must_be, "helpers are {}", world.helpers.walls());
        eprintln!("not tried: helpers are {}", world.helpers.walls());
    }
    has_walls.then_some(world)
}

fn output_of(world: &World, app: &str, text: &str) -> String {
    String::from_utf8(world.run_of(app, text).expect("an output")).expect("text")
}

#[test]
fn a_confined_helper_does_its_work() {
    let Some(world) = walled(LONG) else { return };
    assert_eq!(
        output_of(&world, "_chatter", r#"cat "$1" > "$2.new"; mv "$2.new" "$2""#),
        r#"{"message":"Hello"}"#
    );
    assert_eq!(world.left_in_caches(), 0);
}

#[test]
fn it_has_no_network_no_others_files_and_a_system_that_it_can_only_read() {
    let Some(world) = walled(LONG) else { return };
    fs::write(world.file("secret"), "").expect("written");
    let look = r#"
        { grep -c : /proc/net/dev
          ls -A "$W" | grep -c secret
          for place in / /usr /etc "$HOME"; do mkdir "$place/.lomiri-push" 2>/dev/null && rmdir "$place/.lomiri-push" && echo "$place"; done
          touch /tmp/mine && echo tmp
        } > "$2""#;
    assert_eq!(
        output_of(&world, "_chatter", look),
        "1\n0\ntmp\n",
        "the loop of its own, and a folder of its own"
    );
    assert!(!Path::new("/tmp/mine").exists());
}

#[test]
fn that_of_a_package_writes_to_the_packages_own_folders() {
    let Some(world) = walled(LONG) else { return };
    for package in ["ab", "cd"] {
        fs::create_dir_all(world.file("data").join(package)).expect("made");
    }
    let text = r#"touch "$W/data/ab/mine"; touch "$W/data/cd/theirs"; echo 1 > "$2""#;
    output_of(&world, "ab_chatter", text);
    assert!(world.file("data/ab/mine").exists() && !world.file("data/cd/theirs").exists());
}

#[test]
fn it_sees_the_session_bus_wherever_that_lies() {
    let Some(mut world) = walled(LONG) else { return };
    let socket = world.file("bus");
    let _bus = UnixListener::bind(&socket).expect("a socket");
    world.helpers.options.bus_address = Some(format!("unix:path={},guid=1", socket.display()));
    assert_eq!(output_of(&world, "_chatter", r#"[ -S "$W/bus" ] && echo seen > "$2""#), "seen\n");
}

#[test]
fn nothing_that_it_has_started_outlives_it() {
    let Some(world) = walled(LONG) else { return };
    let brood = r#"sleep 987654 & setsid sleep 987654 & (setsid env -i sleep 987654 &); echo 1 > "$2""#;
    output_of(&world, "_chatter", brood);
    assert_eq!(sleepers("987654"), 0);
}

#[test]
fn one_that_hangs_is_killed_behind_its_walls() {
    let Some(world) = walled(Duration::from_millis(300)) else { return };
    let outcome = world.run("sleep 987653 & setsid sleep 987653; sleep 987653");
    assert!(matches!(outcome, Err(RunError::Timeout(_))), "{outcome:?}");
    assert_eq!(sleepers("987653"), 0);
}

/// How many sleep for so long, by their command lines: within the walls, processes know other numbers of
/// themselves.
fn sleepers(seconds: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("readable").flatten();
    let commands = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let sought = format!("sleep\0{seconds}\0");
    commands.filter(|command| command == sought.as_bytes()).count()
}
