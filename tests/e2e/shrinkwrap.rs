//! Lockfiles that dependencies bring along: npm 11 installs what they say, in place of what the
//! project's own lockfile has below that package.

use serde_json::{Value, json};

use crate::support::{Package, Project, Registry, Reply};

/// `owner` wants `dependency`, of which there are two versions.
struct Fixture {
    registry: Registry,
    old: Package,
    new: Package,
}

fn fixture() -> Fixture {
    let registry = Registry::start();
    let version = |version: &str| {
        let package = Package::new("dependency", version).field("bin", json!("x.js"));
        registry.serve(package.file("x.js", version))
    };
    let (old, new) = (version("1.0.0"), version("1.1.0"));
    Fixture { registry, old, new }
}

impl Fixture {
    fn locked(&self, package: &Package) -> Value {
        let mut entry = package.lock_entry(&format!("node_modules/{}", package.name));
        let resolved = format!("{}{}", self.registry.url(), package.tarball_path());
        entry.insert("resolved".to_owned(), resolved.into());
        entry.into()
    }

    /// The owner, with a lockfile inside that has the old version.
    fn owner(&self, file_name: &str) -> Package {
        let lockfile = json!({
            "lockfileVersion": 3,
            "packages": {"": {}, "node_modules/dependency": self.locked(&self.old)},
        });
        self.owner_with(file_name, &lockfile)
    }

    fn owner_with(&self, file_name: &str, lockfile: &Value) -> Package {
        let owner = Package::new("owner", "1.0.0").dependency("dependency", "^1.0.0");
        self.registry.serve(owner.file(file_name, &lockfile.to_string()))
    }

    fn project(&self, owner: &Package) -> Project {
        let flag = json!({"hasShrinkwrap": true});
        Project::new(&self.registry).with(owner).entry("node_modules/owner", flag)
    }
}

const NESTED: &str = "node_modules/owner/node_modules/dependency";

#[test]
fn what_it_names_is_installed_though_the_lockfile_has_it_not() {
    let fixture = fixture();
    let project = fixture.project(&fixture.owner("npm-shrinkwrap.json"));
    project.assert_same_as_npm(&[]).assert_quiet_success();
    let hidden = project.hidden_lock();
    assert_eq!(hidden["packages"][NESTED]["version"], json!("1.0.0"));
}

#[test]
fn what_it_names_wins_over_the_lockfile_and_the_difference_is_warned_of() {
    let fixture = fixture();
    let project = fixture.project(&fixture.owner("npm-shrinkwrap.json")).at(NESTED, &fixture.new);
    let outcome = project.assert_same_as_npm(&[]);
    assert_eq!(
        outcome.stderr,
        "warning: node_modules/owner brings a lockfile of its own, which differs from \
         package-lock.json in 1 package: dependency@1.0.0 for 1.1.0\n"
    );
}

#[test]
fn where_both_agree_nothing_is_said() {
    let fixture = fixture();
    let project = fixture.project(&fixture.owner("npm-shrinkwrap.json")).at(NESTED, &fixture.old);
    project.assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn it_nests_what_the_root_has_in_another_version() {
    let fixture = fixture();
    let project = fixture.project(&fixture.owner("npm-shrinkwrap.json")).with(&fixture.new);
    project.assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn a_package_lock_json_in_a_tarball_counts_as_well() {
    let fixture = fixture();
    fixture.project(&fixture.owner("package-lock.json")).assert_same_as_npm(&[]);
}

#[test]
fn one_of_version_1_says_nothing_of_commands() {
    let fixture = fixture();
    let lockfile = json!({
        "lockfileVersion": 1,
        "dependencies": {
            "dependency": {"version": "1.0.0", "integrity": fixture.old.integrity()},
        },
    });
    let owner = fixture.owner_with("npm-shrinkwrap.json", &lockfile);
    fixture.project(&owner).assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn without_the_flag_it_is_a_file_like_any_other() {
    let fixture = fixture();
    let owner = fixture.owner("npm-shrinkwrap.json");
    let project = Project::new(&fixture.registry).with(&owner).at(NESTED, &fixture.new);
    project.assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn a_flag_without_a_file_changes_nothing() {
    let fixture = fixture();
    let owner = Package::new("owner", "1.0.0").dependency("dependency", "^1.0.0");
    let owner = fixture.registry.serve(owner);
    let project = fixture.project(&owner).at(NESTED, &fixture.new);
    project.assert_same_as_npm(&[]).assert_quiet_success();
}

#[test]
fn one_inside_another_is_read_too() {
    let fixture = fixture();
    let leaf = fixture.registry.serve(Package::new("leaf", "1.0.0"));
    let inner = json!({"packages": {"node_modules/leaf": fixture.locked(&leaf)}});
    let middle = Package::new("dependency", "1.2.0")
        .dependency("leaf", "1")
        .file("npm-shrinkwrap.json", &inner.to_string());
    let middle = fixture.registry.serve(middle);
    let mut entry = fixture.locked(&middle);
    entry["hasShrinkwrap"] = json!(true);
    let outer = json!({"lockfileVersion": 3, "packages": {"node_modules/dependency": entry}});
    let owner = fixture.owner_with("npm-shrinkwrap.json", &outer);
    let project = fixture.project(&owner);
    project.assert_same_as_npm(&[]).assert_quiet_success();
    let path = "node_modules/owner/node_modules/dependency/node_modules/leaf";
    assert!(project.path().join(path).exists());
}

#[test]
fn one_that_climbs_is_refused() {
    for key in ["../../x", "node_modules/../../x", "/x", "node_modules/.bin"] {
        let fixture = fixture();
        let lockfile =
            json!({"lockfileVersion": 3, "packages": {key: fixture.locked(&fixture.old)}});
        let owner = fixture.owner_with("npm-shrinkwrap.json", &lockfile);
        let project = fixture.project(&owner);
        project.ci(&[]).assert_error("ELOCKFILE");
        project.installed().assert(&[]);
    }
}

#[test]
fn with_a_full_cache_nothing_is_asked_for() {
    let fixture = fixture();
    let project = fixture.project(&fixture.owner("npm-shrinkwrap.json"));
    project.ci(&[]).assert_quiet_success();
    fixture.registry.forget_requests();
    fixture.registry.reply_always("/owner/-/owner-1.0.0.tgz", Reply::status(500));
    let project = project.npmrc("offline=true");
    project.ci(&[]).assert_quiet_success();
    assert_eq!(fixture.registry.paths(), [""; 0]);
}
