# What a script of the project needs before it runs the project's own programs. Sourced from the root of the
# repository, after scripts/setup.

# Daemons and network tools of Debian lie where the path of an ordinary user does not lead.
export PATH="$PWD/.venv/bin:$PATH:/usr/sbin:/sbin"
unset PYTHONPATH PYTHONHOME
if [[ -z ${CSU_MOSQUITTO:-} && -x .cache/debian/mosquitto ]]; then
    export CSU_MOSQUITTO=$PWD/.cache/debian/mosquitto
fi
