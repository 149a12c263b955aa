package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

// completions are the scripts by shell. Each asks `layoutfs complete` with the words up to the cursor, and
// gets candidates, one a line, with what they are behind a tab.
var completions = map[string]string{
	"bash": `# bash completion for layoutfs:  source <(layoutfs completion bash)
_layoutfs() {
  local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}" words word
  # The words as they are typed: bash cuts them at colons and equals signs, too.
  IFS=$' \t\n' read -r -a words <<<"$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  word="${words[-1]}"
  COMPREPLY=($(layoutfs complete -- "${words[@]:1}" 2>/dev/null | cut -f 1))
  # What is in front of the last cut is on the line already.
  local cut="${word%"${word##*[:=]}"}" i
  for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]="${COMPREPLY[i]#"$cut"}"; done
  [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" == */ ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -F _layoutfs layoutfs
`,
	"zsh": `#compdef layoutfs
# zsh completion for layoutfs:  layoutfs completion zsh >"${fpath[1]}/_layoutfs"
_layoutfs() {
  local -a lines values texts
  lines=("${(@f)$(layoutfs complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  local line
  for line in $lines; do
    values+=("${line%%$'\t'*}")
    texts+=("${line/$'\t'/  }")
  done
  (( ${#values} )) && compadd -Q -d texts -a values
}
if [[ "$funcstack[1]" == _layoutfs ]]; then _layoutfs "$@"; else compdef _layoutfs layoutfs; fi
`,
	"fish": `# fish completion for layoutfs:  layoutfs completion fish >~/.config/fish/completions/layoutfs.fish
function __layoutfs_complete
  set -l words (commandline -opc) (commandline -ct)
  layoutfs complete -- $words[2..-1] 2>/dev/null
end
complete -c layoutfs -f -k -a '(__layoutfs_complete)'
`,
}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print shell completion of commands, flags and names",
		ArgsUsage: "bash|zsh|fish",
		Description: "Names are those of the mount, or of where --layout, --s3 or --cache-dir say.\n\n" +
			"   source <(layoutfs completion bash)\n" +
			"   layoutfs completion zsh >\"${fpath[1]}/_layoutfs\"\n" +
			"   layoutfs completion fish >~/.config/fish/completions/layoutfs.fish",
		Action: func(_ context.Context, c *cli.Command) error {
			shell, err := oneArgument(c, "shell")
			if err != nil {
				return err
			}
			script, ok := completions[shell]
			if !ok {
				return usagef("there is no completion for %q, but for bash, zsh and fish", shell)
			}
			_, err = fmt.Fprint(c.Writer, script)
			return err
		},
	}
}
