//! What a shell completes, and what `man` shows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use crate::cli::bellwire;

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What bash offers behind these words, the last of which is not ended.
fn offered(script: &Path, words: &[&str]) -> BTreeSet<String> {
    let program = r#"
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        complete -p bellwire >/dev/null || exit 3
        _bellwire bellwire "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", program, "bash"]).arg(script).args(words);
    let offered = stdout(&bash.output().unwrap());
    offered.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_flags() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("bellwire.bash");
    std::fs::write(&script, stdout(&bellwire(&["completions", "bash"], &[]))).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    let set = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(offered(&script, &["bellwire", "check"]), set(&["check-config"]));
    assert_eq!(offered(&script, &["bellwire", "config", "sh"]), set(&["show"]));
    assert_eq!(offered(&script, &["bellwire", "config", "show", "--or"]), set(&["--origin"]));
    assert_eq!(offered(&script, &["bellwire", "completions", "z"]), set(&["zsh"]));
    let all = offered(&script, &["bellwire", ""]);
    assert!(all.contains("serve") && !all.iter().any(|it| it.contains("rumqttd")), "{all:?}");
}

#[test]
fn other_shells_have_scripts_too() {
    let zsh = stdout(&bellwire(&["completions", "zsh"], &[]));
    assert!(zsh.starts_with("#compdef bellwire") && zsh.contains("check-config"), "{zsh}");
    let fish = stdout(&bellwire(&["completions", "fish"], &[]));
    assert!(fish.contains("complete -c bellwire") && fish.contains("check-config"), "{fish}");
    assert_eq!(bellwire(&["completions", "cmd"], &[]).status.code(), Some(2));
}

/// What `mandoc` or `man` finds wrong with a page; nothing is found where neither is there.
fn complaints(page: &Path) -> String {
    let mandoc = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(page).output();
    if let Ok(output) = mandoc {
        return String::from_utf8_lossy(&output.stdout).into_owned();
    }
    let man = Command::new("man")
        .args(["--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l"])
        .arg(page)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "80")
        .output();
    match man {
        // Without groff it says that, and shows nothing.
        Ok(output) if !output.stdout.is_empty() => {
            String::from_utf8_lossy(&output.stderr).into_owned()
        }
        _ => String::new(),
    }
}

#[test]
fn every_command_has_a_page_that_man_likes() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    stdout(&bellwire(&["man", "--dir", pages.to_str().unwrap()], &[]));
    let names: BTreeSet<_> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["bellwire.1", "bellwire-serve.1", "bellwire-config-show.1"] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("rumqttd")), "{names:?}");
    for name in &names {
        let page = pages.join(name);
        let text = std::fs::read_to_string(&page).unwrap();
        let mut from = 0;
        for section in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH \"EXIT STATUS\""] {
            let at = text[from..].find(section);
            from += at.unwrap_or_else(|| panic!("{name} has no {section} in its place: {text}"));
        }
        assert_eq!(complaints(&page), "", "{name}");
    }
    let first = stdout(&bellwire(&["man"], &[]));
    assert_eq!(first, std::fs::read_to_string(pages.join("bellwire.1")).unwrap());
}
