//! What can be called at an object path, in the XML of the D-Bus specification. The existing service has
//! none, so developers had to guess.

use std::fmt::Write as _;

use super::names::{Api, Place, STATUS_INTERFACE, STATUS_PATH, children};

const DOCTYPE: &str = r#"<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"#;

/// What is there at every path.
const PLAIN: &str = r#" <interface name="org.freedesktop.DBus.Introspectable">
  <method name="Introspect"><arg name="xml" type="s" direction="out"/></method>
 </interface>
 <interface name="org.freedesktop.DBus.Peer">
  <method name="Ping"/>
  <method name="GetMachineId"><arg name="id" type="s" direction="out"/></method>
 </interface>
 <interface name="org.freedesktop.DBus.Properties">
  <method name="Get">
   <arg name="interface" type="s" direction="in"/>
   <arg name="name" type="s" direction="in"/>
   <arg name="value" type="v" direction="out"/>
  </method>
  <method name="GetAll">
   <arg name="interface" type="s" direction="in"/>
   <arg name="values" type="a{sv}" direction="out"/>
  </method>
 </interface>
"#;

const PUSH: &str = r#"  <method name="Register">
   <arg name="app_id" type="s" direction="in"/>
   <arg name="token" type="s" direction="out"/>
  </method>
  <method name="RegisterUser">
   <arg name="app_id" type="s" direction="in"/>
   <arg name="user_token" type="s" direction="out"/>
  </method>
  <method name="Unregister">
   <arg name="app_id" type="s" direction="in"/>
  </method>
"#;

/// `ClearPersistent` takes several tags, too; there is no way to say so here.
const POSTAL: &str = r#"  <method name="Post">
   <arg name="app_id" type="s" direction="in"/>
   <arg name="json" type="s" direction="in"/>
  </method>
  <method name="PopAll">
   <arg name="app_id" type="s" direction="in"/>
   <arg name="messages" type="as" direction="out"/>
  </method>
  <method name="ListPersistent">
   <arg name="app_id" type="s" direction="in"/>
   <arg name="tags" type="as" direction="out"/>
  </method>
  <method name="ClearPersistent">
   <arg name="app_id" type="s" direction="in"/>
   <arg name="tag" type="s" direction="in"/>
   <arg name="cleared" type="u" direction="out"/>
  </method>
  <method name="ClearPersistentList">
   <arg name="app_id" type="s" direction="in"/>
   <arg name="tags" type="as" direction="in"/>
   <arg name="cleared" type="u" direction="out"/>
  </method>
  <method name="SetCounter">
   <arg name="app_id" type="s" direction="in"/>
   <arg name="count" type="i" direction="in"/>
   <arg name="visible" type="b" direction="in"/>
  </method>
  <signal name="Post">
   <arg name="app_id" type="s"/>
  </signal>
"#;

const STATUS: &str = r#"  <method name="Status">
   <arg name="json" type="s" direction="out"/>
  </method>
"#;

/// The XML of `path`, whatever it is.
pub(super) fn of(path: &str) -> String {
    let mut xml = format!("{DOCTYPE}<node>\n{PLAIN}");
    match Place::of(path) {
        Place::Package(facade, _) => xml += &interface(facade.name, methods(facade.api)),
        Place::Above | Place::Elsewhere => (),
    }
    if path == STATUS_PATH {
        xml += &interface(STATUS_INTERFACE, STATUS);
    }
    for child in children(path) {
        writeln!(xml, " <node name=\"{child}\"/>").expect("a text takes all");
    }
    xml + "</node>\n"
}

fn methods(api: Api) -> &'static str {
    match api {
        Api::Push => PUSH,
        Api::Postal => POSTAL,
    }
}

fn interface(name: &str, members: &str) -> String {
    format!(" <interface name=\"{name}\">\n{members} </interface>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::bus::names::FACADES;

    #[test]
    fn a_package_has_its_facade_under_the_facades_own_name() {
        for facade in FACADES {
            let xml = of(&facade.path("com.ubuntu.music"));
            let named = format!("<interface name=\"{}\">", facade.name);
            assert_eq!(xml.matches(&named).count(), 1, "{xml}");
            assert_eq!(xml.contains("\"Register\""), facade.api == Api::Push);
            assert_eq!(xml.contains("\"PopAll\""), facade.api == Api::Postal);
        }
    }

    #[test]
    fn the_tree_leads_from_the_root_to_the_facades() {
        assert!(of("/").contains("<node name=\"com\"/>"));
        assert!(of("/com").contains("<node name=\"lomiri\"/>\n <node name=\"ubuntu\"/>"));
        assert!(of("/com/lomiri").contains("<node name=\"Postal\"/>"));
        let status = of(STATUS_PATH);
        assert!(status.contains(STATUS_INTERFACE) && !status.contains("<node name"));
    }

    #[test]
    fn every_element_that_opens_closes() {
        for path in ["/", "/com/lomiri/PushNotifications", "/com/lomiri/Postal/_", "/elsewhere"] {
            let xml = of(path);
            for element in ["node", "interface", "method", "signal"] {
                let closed = format!("</{element}>");
                let opened = xml.lines().filter(|line| {
                    line.trim_start().starts_with(&format!("<{element}")) && !line.ends_with("/>")
                });
                assert_eq!(opened.count(), xml.matches(&closed).count(), "{element} in {xml}");
            }
        }
    }
}
