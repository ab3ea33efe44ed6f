//! `basic_auth_users`: names and bcrypt hashes.
//!
//! The password of an unknown name is checked against a stand-in hash of the first user's cost, which no password
//! matches. So the time of an answer does not tell which names exist. (When users have hashes of different costs, it
//! tells the cost of a user's.)

use std::collections::BTreeMap;

use bcrypt::HashParts;

use super::problem::Problem;
use super::section::{entries, text};
use super::yaml::Node;

/// bcrypt doubles its work with each step; 16 takes some four seconds, and a scraper gives up
/// after ten.
pub(crate) const BCRYPT_COST_MAX: u32 = 16;
/// Largest number of users: as many as credentials are remembered. Beyond it scrapers would push each other out.
pub(crate) const USERS_MAX: usize = 100;

/// The users that are let in; an empty list lets in all clients.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Users {
    hashes: BTreeMap<String, String>,
    stand_in: String,
}

/// The hash that a password is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) hash: &'a str,
    /// True if the hash is a user's. A match with the stand-in is no match.
    pub(crate) known: bool,
}

impl Users {
    pub(crate) fn read(name: &str, node: &Node) -> Result<Self, Problem> {
        let mut hashes = BTreeMap::new();
        let mut stand_in = String::new();
        for (key, node) in entries(name, node)? {
            let path = format!("{name}.{}", key.name);
            // RFC 7617 section 2: the first colon ends the name.
            if key.name.contains(':') {
                let text = "a user's name must not contain a colon: no client could send it";
                return Err(Problem::new(key.line, path, text));
            }
            let hash = text(&path, node)?.value;
            let cost = cost(hash).map_err(|text| Problem::new(node.line, path.as_str(), text))?;
            if stand_in.is_empty() {
                stand_in = format!("$2y${cost:02}${STAND_IN}");
            }
            if hashes.len() == USERS_MAX {
                let text = format!("more than {USERS_MAX} users: let scrapers share one");
                return Err(Problem::new(key.line, path, text));
            }
            hashes.insert(key.name.clone(), hash.to_owned());
        }
        Ok(Self { hashes, stand_in })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub(crate) fn candidate(&self, user: &[u8]) -> Candidate<'_> {
        let hash = std::str::from_utf8(user).ok().and_then(|user| self.hashes.get(user));
        Candidate { hash: hash.map_or(&*self.stand_in, |hash| hash), known: hash.is_some() }
    }
}

/// A salt and a hash, those of the exporter-toolkit. A hash that bcrypt did not take would cost
/// nothing; that some password matches it at some cost does not matter, since `known` is false.
const STAND_IN: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

fn cost(hash: &str) -> Result<u32, String> {
    let expected = "make one with `htpasswd -nBC 10 \"\"`";
    // The parts must add up to what is sent to bcrypt later, so the length is checked too.
    let parts = hash.parse::<HashParts>().ok().filter(|_| hash.len() == HASH_BYTES);
    let Some(parts) = parts else {
        return Err(format!("no bcrypt hash (`$2y$10$`, then 53 characters): {expected}"));
    };
    match parts.get_cost() {
        cost @ 4..=BCRYPT_COST_MAX => Ok(cost),
        cost => Err(format!("a bcrypt cost of {cost}, of 4 to {BCRYPT_COST_MAX}: {expected}")),
    }
}

const HASH_BYTES: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::yaml::parse;

    const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

    fn users(text: &str) -> Result<Users, String> {
        let node = parse(text).expect("yaml");
        Users::read("basic_auth_users", &node).map_err(|problem| problem.to_string())
    }

    #[test]
    fn unknown_names_get_a_hash_of_the_same_cost_that_bcrypt_takes() {
        let hash = HASH.replace("$10$", "$05$");
        let users = users(&format!("alice: {hash}")).expect("valid");
        let (alice, bob) = (users.candidate(b"alice"), users.candidate(b"bob"));
        assert!(alice.known && alice.hash == hash);
        assert!(!bob.known && !users.candidate(b"\xff").known);
        let cost = |hash: &str| hash.parse::<HashParts>().expect("a hash").get_cost();
        assert_eq!(cost(bob.hash), cost(alice.hash));
        assert!(matches!(bcrypt::verify("fakepassword", bob.hash), Ok(false)));
    }

    #[test]
    fn what_is_no_hash_is_refused_without_showing_it() {
        for (hash, part) in [
            ("s3cret", "no bcrypt hash"),
            ("", "no bcrypt hash"),
            ("\"$2y$10$s3cret\"", "no bcrypt hash"),
            (&HASH.replace("$10$", "$17$"), "cost of 17"),
            (&HASH.replace("$10$", "$03$"), "cost of 3"),
            (&format!("{HASH}x"), "no bcrypt hash"),
        ] {
            let problem = users(&format!("a: x\nbob: {hash}").replace("a: x\n", ""))
                .err()
                .unwrap_or_else(|| panic!("{hash} was taken"));
            assert!(problem.contains("basic_auth_users.bob"), "{problem}");
            assert!(problem.contains(part) && !problem.contains("s3cret"), "{problem}");
        }
        assert!(users(&format!("'a:b': {HASH}")).is_err());
        let many: String = (0..=USERS_MAX).map(|i| format!("u{i}: {HASH}\n")).collect();
        assert!(users(&many).err().expect("too many").contains("more than 100"));
    }
}
