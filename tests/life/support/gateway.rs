//! A gateway in this process.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use usher::app::{Addresses, App, Options};
use usher::edge::{Drain, Stop};

use super::site::load;
use super::{Browser, Operator, Site, within};

/// A running gateway, stopped with its workspaces when it is dropped.
pub(crate) struct Gateway {
    pub(crate) addresses: Addresses,
    pub(crate) drain: Drain,
    roots: Arc<rustls::RootCertStore>,
    log: Written,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    pub(crate) async fn start(site: &Site) -> Self {
        Self::start_from(site, site.config()).await
    }

    /// Starts one that was told to read this file.
    pub(crate) async fn start_from(site: &Site, path: PathBuf) -> Self {
        let (loaded, log) = (load(&path), Written::default());
        let environment = [("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())].into();
        let options = Options { access_log: Some(Box::new(log.clone())), environment, ..Options::default() };
        let (tell, told) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let app = App::build(path, loaded, options).unwrap();
            assert!(tell.send((app.addresses(), app.drain())).is_ok(), "somebody waits for it");
            app.run();
        });
        let (addresses, drain) = within(told).await.unwrap();
        Self { addresses, drain, roots: site.roots(), log, thread: Some(thread) }
    }

    /// A browser that nobody is signed in with.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.addresses.public, self.roots.clone())
    }

    pub(crate) async fn signed_in(&self, user: &str) -> Browser {
        let browser = self.browser();
        browser.sign_in(user).await;
        browser
    }

    pub(crate) fn operator(&self) -> Operator {
        Operator(self.addresses.admin)
    }

    /// The lines of the access log so far.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        self.access_text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn access_text(&self) -> String {
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }

    /// Stops it in good order and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        self.drain.stop(Stop::Drain);
        let thread = self.thread.take().unwrap();
        within(tokio::task::spawn_blocking(move || thread.join())).await.unwrap().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.drain.stop(Stop::Fast);
            self.drain.stop(Stop::Fast);
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the gateway panicked");
        }
    }
}

/// Where the access log of a gateway in this process goes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
