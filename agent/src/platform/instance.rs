//! The stage `instance`: asks the metadata service, which is root's alone, for what the processes that speak to
//! others need: the identity document, and the credentials of the instance's role.
//!
//! So the process that may ask it never speaks to anybody else, and those that speak to others are of a user who
//! may do nothing. Protects the role's credentials against every user but that one, against a look into the
//! image, and against logs. Does not protect them against who takes over a process of that user.

use std::{fmt, fs, io, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use earmark_manifest::{
    declaration::{Declaration, Place, Platform},
    path::ImagePath,
};
use earmark_scan::Root;
use serde::{Deserialize, Serialize};

use crate::{
    boot::policy::Policy,
    cli::InstanceArgs,
    exit::Exit,
    host::files,
    platform::imds::{self, IdentityDocument, Imds, InstanceId},
    status::model::Status,
};

/// Directory of the answers. The service manager makes it, for the group of those who need them.
const DIRECTORY: &str = "run/earmark-instance";
const IDENTITY: &str = "identity.json";
const ROLE: &str = "role.json";
/// For the group, and nobody else.
const MODE: u32 = 0o640;
const BOUND: usize = 64 * 1024;
/// The metadata service is on the same machine; before the network is up it does not answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// The instance identity document, and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub document: String,
    pub signature: Option<String>,
}

/// Credentials of the instance's role. `Debug` shows none of them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Role {
    /// Access key id.
    pub key: String,
    /// Secret access key.
    pub secret: String,
    /// Session token of a temporary key.
    pub token: Option<String>,
    /// Region of the instance.
    pub region: Option<String>,
}

/// Asks once.
pub fn run(args: &InstanceArgs) -> Result<ExitCode> {
    let root = Root::open(&args.root)?;
    let policy = Policy::of(&root);
    let Some(declaration) = policy.declaration() else {
        complain!("earmark-agent: nothing is asked: {}", policy.reason());
        return Ok(Exit::Undecided.into());
    };
    if declaration.image.platform != Platform::Ec2 {
        return Ok(Exit::Done.into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build();
    runtime
        .context("failed to start the runtime")?
        .block_on(ask(&root, declaration, &Imds::new(DEADLINE)?))?;
    Ok(Exit::Done.into())
}

async fn ask(root: &Root, declaration: &Declaration, imds: &Imds) -> Result<()> {
    if let Some(this) = imds::instance_id_from_dmi(root) {
        imds.speaks_for(&this).await?;
    }
    let found = imds.identity().await?;
    let identity = Identity {
        document: found.document,
        signature: found.signature,
    };
    // Kept before the role is asked for: an instance without a role still reports who it is.
    keep(root, IDENTITY, &serde_json::to_vec(&identity)?)?;
    // What nothing needs is not asked for.
    if !needs_role(declaration) {
        return remove(root, ROLE);
    }
    // A role that was taken away takes its credentials in /run with it.
    let Some(found) = imds.role().await? else {
        complain!("earmark-agent: this instance has no role, and the image names objects of S3");
        return remove(root, ROLE);
    };
    let role = Role {
        key: found.access_key_id,
        secret: found.secret_access_key,
        token: Some(found.token),
        region: region(&identity.document),
    };
    keep(root, ROLE, &serde_json::to_vec(&role)?)
}

fn needs_role(declaration: &Declaration) -> bool {
    let is_object = |place: &Place| matches!(place, Place::S3(_));
    let channel = declaration.channel.as_ref();
    let sinks = declaration.report.iter().flat_map(|report| &report.to);
    channel.is_some_and(|channel| is_object(channel.url.place())) || { sinks }
        .any(|sink| is_object(sink.location().place()))
}

/// The region that an identity document names, if it is one: it becomes a part of a server's name.
pub fn region(document: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Fields {
        region: String,
    }
    let fields: Fields = serde_json::from_str(document).ok()?;
    let region = fields
        .region
        .parse::<earmark_manifest::name::Region>()
        .ok()?;
    Some(region.to_string())
}

/// The identity, if it is known.
pub fn identity(root: &Root) -> Option<Identity> {
    read(root, IDENTITY)
}

/// Returns this instance's id, as the metadata service said in this boot.
pub fn told(root: &Root) -> Option<InstanceId> {
    let Identity { document, .. } = identity(root)?;
    let document = IdentityDocument::parse(document, None).ok()?;
    Some(document.instance_id)
}

/// Returns this host's name: as its record has it, else as the metadata service said.
pub fn name(root: &Root, status: &Status) -> Option<String> {
    let recorded = status.instance.clone();
    recorded.or_else(|| told(root).map(|id| id.to_string()))
}

/// The role, if there is one.
pub fn role(root: &Root) -> Option<Role> {
    read(root, ROLE)
}

fn read<T: for<'de> Deserialize<'de>>(root: &Root, name: &str) -> Option<T> {
    let path = ImagePath::from_absolute(format!("/{DIRECTORY}/{name}").as_bytes()).ok()?;
    serde_json::from_slice(&root.read_opt(&path, BOUND).ok()??).ok()
}

fn keep(root: &Root, name: &str, bytes: &[u8]) -> Result<()> {
    files::open_directory(root, DIRECTORY)
        .map_err(io::Error::from)
        .and_then(|directory| files::replace(directory, name, bytes, MODE))
        .with_context(|| format!("failed to write '/{DIRECTORY}/{name}'"))
}

fn remove(root: &Root, name: &str) -> Result<()> {
    // By its path: /run/earmark-instance is root's, 0750, and nobody else could put a link on the way.
    match fs::remove_file(root.path().join(DIRECTORY).join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove '/{DIRECTORY}/{name}'"))
        }
        _ => Ok(()),
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Role")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{platform::imds::server::Instance, testing::TestRoot};

    const CREDENTIALS: &str = r#"{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIA",
        "SecretAccessKey": "hidden", "Token": "token==", "Expiration": "2026-11-24T02:43:00Z"}"#;

    /// Asks once. Returns the requests about the role, and the error in words, empty if there was none.
    fn asked(
        root: &TestRoot,
        to: &str,
        role: Option<(&'static str, &'static str)>,
    ) -> (Vec<String>, String) {
        let instance = Instance {
            role,
            ..Instance::default()
        };
        let server = instance.serve();
        let text =
            format!("[image]\nname = \"web\"\nplatform = \"ec2\"\n[report]\nto = [\"{to}\"]\n");
        let declaration = Declaration::parse(text.as_bytes()).unwrap();
        let imds = server.client(Duration::from_secs(5));
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let outcome = runtime.block_on(ask(&root.open(), &declaration, &imds));
        let said = outcome.map_or_else(|error| format!("{error:#}"), |()| String::new());
        let mut asked = server.asked();
        asked.retain(|path| path.contains("iam"));
        (asked, said)
    }

    fn root() -> TestRoot {
        let root = TestRoot::bare();
        fs::create_dir_all(root.at("/run/earmark-instance")).unwrap();
        root
    }

    #[test]
    fn role_credentials_are_fetched_only_for_s3_and_not_world_readable() {
        let root = root();
        let (iam, said) = asked(&root, "https://reports.test/", Some(("web", CREDENTIALS)));
        assert_eq!((iam, said.as_str()), (vec![], ""));
        assert!(role(&root.open()).is_none());
        let known = identity(&root.open()).unwrap();
        assert!(known.document.contains("i-0123456789abcdef0"));
        assert_eq!(known.signature.as_deref(), Some("MIAGCSqGSIb3DQ==\n"));
        let told = told(&root.open()).map(|id| id.to_string());
        assert_eq!(told.as_deref(), Some("i-0123456789abcdef0"));

        let (iam, said) = asked(&root, "s3://reports/web/", Some(("web", CREDENTIALS)));
        assert_eq!((iam.len(), said.as_str()), (2, ""), "{iam:?}");
        let known = role(&root.open()).unwrap();
        assert_eq!(
            (known.key.as_str(), known.secret.as_str()),
            ("ASIA", "hidden")
        );
        assert_eq!(known.token.as_deref(), Some("token=="));
        assert_eq!(known.region.as_deref(), Some("eu-west-1"));
        let mode = fs::metadata(root.at("/run/earmark-instance/role.json"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o7777 & !0o640, 0);

        // A role that was taken away takes its credentials with it.
        let (_, said) = asked(&root, "s3://reports/web/", None);
        assert_eq!(said, "");
        assert!(role(&root.open()).is_none());
    }

    #[test]
    fn malformed_role_or_credentials_are_refused_and_not_shown() {
        for (bad, says) in [
            (("../../user-data", CREDENTIALS), "the name of one role"),
            (("a\nb", CREDENTIALS), "the name of one role"),
            (
                ("web", "{\"AccessKeyId\": \"hidden\"}"),
                "the credentials of a role",
            ),
            (("web", "<html>hidden</html>"), "the credentials of a role"),
        ] {
            let root = root();
            let (_, said) = asked(&root, "s3://reports/web/", Some(bad));
            assert!(said.contains(says) && !said.contains("hidden"), "{said}");
            assert!(role(&root.open()).is_none());
        }
    }
}
