//! Looks at files that change between, during and after checks.

use std::sync::Mutex;

use super::*;
use crate::config::tests::{Folder, SMALLEST};

type Apply = Box<dyn Fn(Loaded) -> Result<Vec<&'static str>, String> + Send + Sync>;

/// A configuration in force, and the titles of the kinds that were applied since.
struct Fixture {
    folder: Folder,
    applied: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: Folder::new(), applied: Arc::default() }
    }

    fn write(&self, title: &str, users_file: &str) -> PathBuf {
        let yaml = SMALLEST
            .replace("ide: { runtime", &format!("ide: {{ title: {title}, runtime"))
            .replace("secrets/users.yaml", users_file);
        self.folder.write("usher.yaml", yaml.as_bytes())
    }

    /// Watches what was loaded; `meanwhile` runs while a new one is applied.
    fn watch(&self, loaded: &Loaded, meanwhile: impl Fn() + Send + Sync + 'static) -> Reload<Apply> {
        let applied = self.applied.clone();
        let apply = move |new: Loaded| {
            meanwhile();
            let title = new.config.workspaces.get("ide").and_then(|kind| kind.title.clone());
            applied.lock().expect("not poisoned").push(title.unwrap_or_default());
            Ok(Vec::new())
        };
        let metrics = Metrics::new(prometheus::Registry::new(), 10);
        Reload::new(self.folder.path("usher.yaml"), loaded, metrics, Health::default(), Box::new(apply))
    }

    fn applied(&self) -> Vec<String> {
        self.applied.lock().expect("not poisoned").clone()
    }
}

#[tokio::test]
async fn a_file_that_was_missing_ends_the_refusal_when_it_comes() {
    let fixture = Fixture::new();
    let loaded = config::check(&fixture.write("old", "secrets/users.yaml")).expect("loads");
    let mut reload = fixture.watch(&loaded, || {});
    fixture.write("new", "secrets/late.yaml");
    assert!(reload.look(Cause::Notice).await);
    assert!(!reload.problems.is_empty() && fixture.applied().is_empty());
    let late = fixture.folder.path("secrets/late.yaml");
    assert!(reload.read.files().any(|file| file == late), "nobody would notice when it comes");
    assert!(!reload.look(Cause::Notice).await, "nothing has come yet");

    fixture.folder.write("secrets/late.yaml", b"users: []\n");
    assert!(reload.look(Cause::Notice).await);
    assert_eq!((fixture.applied(), reload.problems.len()), (vec!["new".to_owned()], 0));
}

#[tokio::test]
async fn what_is_refused_is_tried_again_by_each_poll_and_hangup_whatever_its_files_hold() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let loaded = config::check(&fixture.write("old", "secrets/users.yaml")).expect("loads");
    let mut reload = fixture.watch(&loaded, || {});
    for cause in [Cause::Poll, Cause::Notice, Cause::Hangup] {
        assert!(!reload.look(cause).await, "what is in force is not put in force again");
    }

    // Permissions are no content, and are a reason to refuse all the same.
    let key = fixture.folder.path("secrets/session-k1");
    let allow = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).expect("is ours");
    allow(0o644);
    fixture.write("new", "secrets/users.yaml");
    assert!(reload.look(Cause::Notice).await && !reload.problems.is_empty());
    assert!(!reload.look(Cause::Poll).await, "the same again is not told again");
    assert!(reload.look(Cause::Hangup).await && !reload.problems.is_empty(), "an operator is told again");
    allow(0o600);
    assert!(reload.look(Cause::Poll).await);
    assert_eq!(fixture.applied(), ["new"]);
}

#[tokio::test]
async fn an_edit_after_the_first_check_is_found_at_the_first_look() {
    let fixture = Fixture::new();
    let loaded = config::check(&fixture.write("old", "secrets/users.yaml")).expect("loads");
    fixture.write("new", "secrets/users.yaml");
    let mut reload = fixture.watch(&loaded, || {});
    assert!(reload.look(Cause::Notice).await);
    assert_eq!(fixture.applied(), ["new"]);
    assert!(!reload.look(Cause::Notice).await);
}

#[tokio::test]
async fn a_newly_named_file_that_changes_before_it_is_watched_is_found_at_the_next_look() {
    let fixture = Fixture::new();
    let loaded = config::check(&fixture.write("old", "secrets/users.yaml")).expect("loads");
    let other = fixture.folder.write("secrets/other.yaml", b"users: []\n");
    let edited = Mutex::new(false);
    let mut reload = fixture.watch(&loaded, move || {
        let mut edited = edited.lock().expect("not poisoned");
        if !std::mem::replace(&mut *edited, true) {
            std::fs::write(&other, b"# edited\nusers: []\n").expect("written");
        }
    });
    fixture.write("new", "secrets/other.yaml");
    assert!(reload.look(Cause::Notice).await);
    assert!(reload.look(Cause::Notice).await, "the edit was lost");
    assert!(!reload.look(Cause::Notice).await);
}

#[tokio::test]
async fn an_applying_that_panics_is_a_refusal() {
    let fixture = Fixture::new();
    let loaded = config::check(&fixture.write("old", "secrets/users.yaml")).expect("loads");
    let mut reload = fixture.watch(&loaded, || panic!("a mistake"));
    fixture.write("new", "secrets/users.yaml");
    assert!(reload.look(Cause::Notice).await);
    assert_eq!(reload.problems.len(), 1);
}
