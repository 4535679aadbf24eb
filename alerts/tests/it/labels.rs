//! Labels from the registry: which rules are for a device changes with them, and its alerts with that.

use crate::world::World;

const RULES: &str = "
[[rule]]
name = 'hot'
when = 't > 10'
select = \"kind = 'freezer'\"
summary = '{device} at {label:site}'
[[rule]]
name = 'any'
when = 't > 100'
[[labels]]
device = 'f-*'
set = { site = 'file' }
";

fn reasons(world: &World) -> Vec<&str> {
    world.said.iter().map(|it| &*it.reason).collect()
}

#[test]
fn a_label_brings_a_rule_to_a_device_from_its_next_reading_on() {
    let mut world = World::new(RULES);
    world.read("d", 0, &[("t", 20.0)]);
    assert_eq!(world.take(), Vec::<String>::new());
    world.relabel("d", 1, &[("kind", "freezer"), ("site", "berlin")]);
    assert_eq!(world.take(), Vec::<String>::new());
    world.read("d", 2, &[("t", 20.0)]);
    assert_eq!(world.said[0].alert.summary, "d at berlin");
    assert_eq!(world.take(), ["d hot inactive>firing @2"]);
    world.read("e", 2, &[("t", 20.0)]);
    assert_eq!(world.take(), Vec::<String>::new());
}

#[test]
fn without_the_label_the_alert_is_closed() {
    let mut world = World::new(RULES);
    world.relabel("d", 0, &[("kind", "freezer")]);
    world.read("d", 1, &[("t", 200.0)]);
    assert_eq!(world.take(), ["d hot inactive>firing @1", "d any inactive>firing @1"]);
    world.relabel("d", 5, &[("kind", "oven")]);
    assert_eq!(reasons(&world), ["the rule is no longer for this device"]);
    assert_eq!(world.take(), ["d hot firing>resolved @4"]);
    let open: Vec<_> = world.engine.active().map(|alert| alert.rule.to_string()).collect();
    assert_eq!(open, ["any"]);
}

#[test]
fn the_registry_comes_before_the_rules_file() {
    let mut world = World::new(RULES);
    world.relabel("f-1", 0, &[("kind", "freezer")]);
    world.read("f-1", 1, &[("t", 20.0)]);
    assert_eq!(world.said[0].alert.summary, "f-1 at file");
    world.read("f-1", 2, &[("t", 0.0)]);
    world.take();
    world.relabel("f-1", 3, &[("kind", "freezer"), ("site", "api")]);
    world.read("f-1", 4, &[("t", 20.0)]);
    assert_eq!(world.said[0].alert.summary, "f-1 at api");
}

#[test]
fn labels_choose_the_parameters_of_an_open_alert() {
    let mut world = World::new(
        "[[rule]]\nname = 'hot'\nwhen = 't > limit'\nparams = { limit = 10 }\n\
         [[rule.override]]\nselect = \"kind = 'oven'\"\nparams = { limit = 100 }\n",
    );
    world.read("d", 0, &[("t", 20.0)]);
    world.take();
    world.relabel("d", 1, &[("kind", "oven")]);
    assert!(reasons(&world)[0].starts_with("the rule was changed for this device by its labels: "));
    assert_eq!(world.take(), ["d hot firing>resolved @0"]);
    world.relabel("d", 2, &[]);
    world.read("d", 3, &[("t", 20.0)]);
    assert_eq!(world.take(), ["d hot inactive>firing @3"]);
}

#[test]
fn rules_that_change_know_the_labels() {
    let mut world = World::new("");
    world.relabel("d", 0, &[("kind", "freezer")]);
    world.read("d", 1, &[("t", 20.0)]);
    world.set_rules(2, RULES);
    world.read("d", 3, &[("t", 20.0)]);
    assert_eq!(world.take(), ["d hot inactive>firing @3"]);
    world.set_rules(4, &RULES.replace("summary", "for = '0s'\nsummary"));
    assert_eq!(world.take(), Vec::<String>::new());
}

const GROUPS: &str = "
[[rule]]
name = 'warm'
when = 'avg by (site) (t) > 10'
";

#[test]
fn a_device_leaves_its_group_for_another() {
    let mut world = World::new(GROUPS);
    for (device, site, t) in [("a", "x", 0.0), ("b", "x", 30.0), ("c", "y", 0.0)] {
        world.relabel(device, 0, &[("site", site)]);
        world.read(device, 1, &[("t", t)]);
    }
    assert_eq!(world.engine.active().count(), 1);
    world.take();
    world.relabel("b", 5, &[("site", "y")]);
    for device in ["a", "c"] {
        world.read(device, 6, &[("t", 0.0)]);
    }
    world.read("b", 7, &[("t", 30.0)]);
    for secs in 7..12 {
        world.tick(secs);
    }
    let said = world.take();
    let of = |text: &str| said.iter().any(|line| line.contains(text));
    assert!(of("{site=\"x\"} warm firing>resolved"), "{said:?}");
    assert!(of("{site=\"y\"} warm inactive>firing"), "{said:?}");
}

#[test]
fn a_group_that_all_have_left_ends_and_its_place_is_taken_by_another() {
    let mut world = World::new(GROUPS);
    world.relabel("a", 0, &[("site", "x")]);
    world.read("a", 1, &[("t", 30.0)]);
    world.take();
    for n in 0..50_i64 {
        world.relabel("a", 2 * n + 2, &[("site", &format!("s{n}"))]);
        world.read("a", 2 * n + 3, &[("t", 30.0)]);
    }
    let said = world.take();
    assert!(said[0].contains("warm firing>resolved"), "{said:?}");
    assert_eq!(said.len(), 100, "each ends, and the next begins");
    assert_eq!(world.engine.active().count(), 1);
    world.restart();
    world.relabel("a", 200, &[]);
    assert_eq!(world.take().len(), 1);
    assert_eq!(world.engine.active().count(), 0);
}

/// Whatever comes: an engine that was saved and read again goes on as one that was not.
#[test]
fn a_restart_changes_nothing_of_labels() {
    let rules = format!("{RULES}{GROUPS}");
    let (mut steady, mut restarted) = (World::new(&rules), World::new(&rules));
    let sites = ["x", "y", "z"];
    for step in 0..400_i64 {
        let device = ["a", "b", "f-1"][usize::try_from(step * 7 % 3).expect("small")];
        let site = sites[usize::try_from(step * step % 5 % 3).expect("small")];
        for world in [&mut steady, &mut restarted] {
            match step % 4 {
                0 if step % 3 == 0 => world.relabel(device, step, &[("site", site)]),
                0 => world.relabel(device, step, &[("kind", "freezer"), ("site", site)]),
                1 => world.tick(step),
                _ => {
                    let t = f64::from(u32::try_from(step * 13 % 40).expect("small"));
                    world.read(device, step, &[("t", t)]);
                }
            }
        }
        if step % 7 == 0 {
            restarted.restart();
        }
    }
    let said = steady.take();
    assert!(said.len() > 50, "{}", said.len());
    assert_eq!(said, restarted.take());
}
