//! Replies of HELP: the forms are Redis's, since people type them; what they do is said in our words.

use crate::resp::Out;

/// Writes the help of a container: pairs of a form and what it does.
pub fn reply(out: &mut Out, container: &str, forms: &[(&str, &str)]) {
    out.array(forms.len() * 2 + 3);
    out.simple(&format!(
        "{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for (form, does) in forms {
        out.simple(form);
        out.simple(&format!("    {does}"));
    }
    out.simple("HELP");
    out.simple("    Print this help.");
}
