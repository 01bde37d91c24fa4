#pragma once
#include <map>
#include <string>

std::map<std::string, int> count(const std::string &text);
