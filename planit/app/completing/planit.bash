# Completion of planit in bash. In ~/.bashrc: eval "$(planit completion bash)"

_planit_answer() { # COUNT PROGRAM...: how many words of the line start planit, and what does
    local answer code
    answer=$("${@:2}" _complete bash "$COMP_WORDBREAKS" "$1" "${COMP_LINE:0:COMP_POINT}" \
        2>/dev/null </dev/null)
    code=$?
    COMPREPLY=()
    if ((code == 10)); then
        compopt -o default
    elif ((code == 0)) && [[ $answer ]]; then
        mapfile -t COMPREPLY <<<"$answer"
        compopt -o nosort 2>/dev/null
        if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=./] ]]; then
            compopt -o nospace
        fi
    fi
} 2>/dev/null

_planit() {
    _planit_answer 1 "${1/#\~/$HOME}"
}

_planit_python() { # python -m planit; anything else as before
    if [[ ${COMP_WORDS[1]} == -m && ${COMP_WORDS[2]} == planit ]] && ((COMP_CWORD > 2)); then
        _planit_answer 3 "${1/#\~/$HOME}" -m planit
    elif [[ $_planit_before_python ]]; then
        "$_planit_before_python" "$@"
    else
        compopt -o bashdefault -o default
    fi
}

_planit_register() {
    local name now
    complete -F _planit planit
    for name in _comp_load _completion_loader; do # of bash-completion, which loads late
        if declare -F "$name"; then
            "$name" python
            break
        fi
    done
    for name in python python3; do
        now=$(complete -p "$name")
        if [[ ! $now ]]; then
            complete -F _planit_python "$name"
        elif [[ $now =~ \ -F\ ([^ ]+) ]]; then
            if [[ ${BASH_REMATCH[1]} != _planit_python ]]; then
                _planit_before_python=${BASH_REMATCH[1]}
            fi
            complete -F _planit_python "$name"
        fi
    done
} >/dev/null 2>&1
_planit_register
