# Completion of planit in fish. In ~/.config/fish/config.fish: planit completion fish | source

function __planit_answer # COUNT: how many words of the line start planit
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1..$argv[1]])
    set -l before
    if test (count $words) -gt $argv[1]
        set before $words[(math $argv[1] + 1)..-1]
    end
    $program _complete fish $before "$current" 2>/dev/null </dev/null
    if test $status -eq 10
        __fish_complete_path "$current"
    end
end

function __planit_is_module
    set -l words (commandline -opc)
    test (count $words) -ge 3; and test "$words[2]" = -m; and test "$words[3]" = planit
end

complete -c planit -f -k -a '(__planit_answer 1)'
for name in python python3
    complete -c $name -n __planit_is_module -f -k -a '(__planit_answer 3)'
end
