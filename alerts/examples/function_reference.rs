//! Prints the tables of functions and aggregates in `docs/reference/rules.md`.

fn main() {
    println!("{}", bellwire_alerts::function_reference());
    print!("{}", bellwire_alerts::aggregate_reference());
}
