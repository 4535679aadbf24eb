//! Prints the table of functions in `docs/reference/rules.md`.

fn main() {
    print!("{}", bellwire_alerts::function_reference());
}
