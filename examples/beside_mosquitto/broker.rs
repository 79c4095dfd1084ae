//! A Mosquitto of one's own, with a certificate of its own, and nothing on disk.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{PATIENCE, Problem};

/// Killed when it is dropped.
pub struct Mosquitto {
    child: Child,
    pub address: String,
    _folder: TempDir,
}

impl Mosquitto {
    pub fn start() -> Result<Mosquitto, Problem> {
        let folder = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let port = free_port()?;
        let configuration = format!(
            "user root\npersistence false\nlog_type none\nmax_queued_messages 0\nlistener {port} 127.0.0.1\n\
             allow_anonymous true\ncertfile {}\nkeyfile {}\ntls_version tlsv1.3\n",
            certificate.display(),
            key.display()
        );
        let file = folder.path().join("mosquitto.conf");
        fs::write(&file, configuration)?;
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("mosquitto: {error}: install it (apt-get install mosquitto)"))?;
        let address = format!("127.0.0.1:{port}");
        await_port(&address)?;
        Ok(Mosquitto { child, address, _folder: folder })
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> Result<u16, Problem> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until somebody listens there.
pub fn await_port(address: &str) -> Result<(), Problem> {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if start.elapsed() > PATIENCE {
            return Err(format!("nobody listens at {address}").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
