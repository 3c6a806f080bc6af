#compdef planit
# Completion of planit in zsh. In ~/.zshrc: eval "$(planit completion zsh)"
# or as a file _planit in a folder of $fpath.

_planit_answer() { # COUNT PROGRAM...: how many words of the line start planit, and what does
    local answer line text note
    local -i count=$1 code
    local -a before whole open
    shift
    (( CURRENT > count + 1 )) && before=("${(@Q)words[count+1,CURRENT-1]}")
    answer=$("$@" _complete zsh "${before[@]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)
    code=$?
    if (( code == 10 )); then
        _files
        return
    elif (( code )) || [[ -z $answer ]]; then
        return 1
    fi
    for line in "${(@f)answer}"; do
        text=${line%%$'\t'*} note=${line#*$'\t'}
        text=${text//\\/\\\\}
        text=${text//:/\\:}
        [[ -n $note ]] && note=":$note"
        if [[ $text == *[=./] ]]; then
            open+=("$text$note")
        else
            whole+=("$text$note")
        fi
    done
    _describe -V planit whole -- open -S ''
}

_planit() {
    local program=${(Q)words[1]}
    _planit_answer 1 "${program/#\~/$HOME}"
}

_planit_python() { # python -m planit; anything else as before
    local program=${(Q)words[1]}
    if [[ $words[2] == -m && $words[3] == planit ]] && (( CURRENT > 3 )); then
        _planit_answer 3 "${program/#\~/$HOME}" -m planit
    else
        "${_planit_before_python:-_default}" "$@"
    fi
}

if [[ $funcstack[1] == _planit ]]; then
    _planit "$@"
else
    if (( ! $+functions[compdef] )); then
        autoload -Uz compinit && compinit -i
    fi
    if [[ ${_comps[python]} != _planit_python ]]; then
        typeset -g _planit_before_python=${_comps[python]}
    fi
    compdef _planit planit
    compdef _planit_python python python3
fi
